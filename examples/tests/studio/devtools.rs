//! A browser, spoken to over two pipes in the protocol of its developer tools: JSON, a zero behind each message. That takes no library, no port
//! and no driver.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take: machines of tests stand still at times.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(40);

/// Chromium without a window, with a profile of its own.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    /// What the browser told of itself.
    pub(crate) events: Vec<Value>,
    _profile: TempDir,
}

/// A tab.
#[derive(Clone)]
pub(crate) struct Tab {
    session: String,
    pub(crate) target: String,
}

impl Browser {
    /// Starts the browser that `CHROMIUM` names, or Debian's.
    pub(crate) fn start() -> Self {
        let program = env::var_os("CHROMIUM")
            .map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
        assert!(
            program.exists(),
            "{} is not there: install `chromium`, or name one in the variable CHROMIUM",
            program.display()
        );
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("sh")
            // the browser reads from 3 and writes to 4
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#,
            ])
            .arg(program)
            .args([
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--host-resolver-rules=MAP *.example 127.0.0.1",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while output
                .read_until(0, &mut message)
                .is_ok_and(|read| read > 0)
            {
                message.pop();
                let value = serde_json::from_slice(&message).expect("JSON");
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        Self {
            child,
            input,
            messages,
            last: 0,
            events: Vec::new(),
            _profile: profile,
        }
    }

    /// A command to the browser, or to a tab of it.
    pub(crate) fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        let answer = self.request(tab, method, parameters);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The whole answer, which may be an error.
    fn request(&mut self, tab: Option<&Tab>, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(tab) = tab {
            message["sessionId"] = tab.session.as_str().into();
        }
        let sent = self.input.write_all(message.to_string().as_bytes());
        sent.and_then(|()| self.input.write_all(&[0]))
            .expect("the browser listens");
        loop {
            let answer = self
                .messages
                .recv_timeout(PATIENCE)
                .expect("the browser answers");
            if answer["id"] == self.last {
                return answer;
            }
            self.events.push(answer);
        }
    }

    /// A new tab with a page.
    pub(crate) fn open(&mut self, url: &str) -> Tab {
        let target = self.call(None, "Target.createTarget", json!({"url": "about:blank"}));
        let target = target["targetId"].as_str().expect("text").to_owned();
        let attached = self.call(
            None,
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        let session = attached["sessionId"].as_str().expect("text").to_owned();
        let tab = Tab { session, target };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(Some(&tab), &format!("{domain}.enable"), json!({}));
        }
        self.go(&tab, url);
        tab
    }

    pub(crate) fn go(&mut self, tab: &Tab, url: &str) {
        self.call(Some(tab), "Page.navigate", json!({"url": url}));
        self.wait(
            tab,
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
    }

    pub(crate) fn close(&mut self, tab: Tab) {
        self.call(None, "Target.closeTarget", json!({"targetId": tab.target}));
    }

    /// What an expression, or its promise, is.
    pub(crate) fn eval(&mut self, tab: &Tab, expression: &str) -> Value {
        let answer = self.evaluate(tab, expression);
        let failed = !answer["error"].is_null() || !answer["result"]["exceptionDetails"].is_null();
        assert!(!failed, "{expression}: {answer}");
        answer["result"]["result"]["value"].clone()
    }

    fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        self.request(Some(tab), "Runtime.evaluate", parameters)
    }

    /// Waits until an expression is true, also while a page goes and another one comes.
    pub(crate) fn wait(&mut self, tab: &Tab, expression: &str) {
        let begun = Instant::now();
        while self.evaluate(tab, expression)["result"]["result"]["value"] != true {
            if begun.elapsed() > PATIENCE {
                let page = self.eval(tab, "document.body.innerText");
                panic!("not so: {expression}\n{page}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Clicks with the mouse in the middle of an element.
    pub(crate) fn click(&mut self, tab: &Tab, selector: &str) {
        let [x, y] = self.middle(tab, selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters =
                json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call(Some(tab), "Input.dispatchMouseEvent", parameters);
        }
    }

    fn middle(&mut self, tab: &Tab, selector: &str) -> [f64; 2] {
        let place = self.eval(
            tab,
            &format!(
                "(() => {{ const element = document.querySelector({selector:?}); element.scrollIntoView({{block: 'center'}}); \
                 const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
            ),
        );
        [0, 1].map(|axis| place[axis].as_f64().expect("a number"))
    }

    /// Presses a key: a name of DOM, with the code of Windows that goes with it.
    pub(crate) fn press(&mut self, tab: &Tab, key: &str, code: u32, modifiers: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let parameters = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            self.call(Some(tab), "Input.dispatchKeyEvent", parameters);
        }
    }

    /// Drops a file onto an element.
    pub(crate) fn drop_file(&mut self, tab: &Tab, selector: &str, file: &Path) {
        let [x, y] = self.middle(tab, selector);
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({"items": [], "files": [file], "dragOperationsMask": 1});
            let parameters = json!({"type": kind, "x": x, "y": y, "data": data});
            self.call(Some(tab), "Input.dispatchDragEvent", parameters);
        }
    }

    /// Chooses a file in a dialog's stead.
    pub(crate) fn choose_file(&mut self, tab: &Tab, selector: &str, file: &Path) {
        let document = self.call(Some(tab), "DOM.getDocument", json!({}));
        let root = &document["root"]["nodeId"];
        let node = self.call(
            Some(tab),
            "DOM.querySelector",
            json!({"nodeId": root, "selector": selector}),
        );
        let parameters = json!({"nodeId": node["nodeId"], "files": [file]});
        self.call(Some(tab), "DOM.setFileInputFiles", parameters);
    }

    /// With which status requests of an address were answered, whether or not a page may see it.
    pub(crate) fn statuses(&self, url: &str) -> Vec<u64> {
        let of = |method: &'static str| {
            let events = self
                .events
                .iter()
                .filter(move |event| event["method"] == method);
            events.map(|event| &event["params"])
        };
        let asked =
            of("Network.requestWillBeSent").filter(|request| request["request"]["url"] == url);
        let ids: Vec<&Value> = asked.map(|request| &request["requestId"]).collect();
        (of("Network.responseReceivedExtraInfo")
            .filter(|answer| ids.contains(&&answer["requestId"])))
        .filter_map(|answer| answer["statusCode"].as_u64())
        .collect()
    }

    /// Size in CSS pixels, and whether colours are dark.
    pub(crate) fn look_like(&mut self, tab: &Tab, width: u32, height: u32, dark: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call(Some(tab), "Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call(Some(tab), "Emulation.setEmulatedMedia", features);
    }

    /// A picture of the window, or of the whole page.
    pub(crate) fn screenshot(&mut self, tab: &Tab, whole: bool) -> Vec<u8> {
        let parameters = json!({"format": "png", "captureBeyondViewport": whole});
        let shot = self.call(Some(tab), "Page.captureScreenshot", parameters);
        STANDARD
            .decode(shot["data"].as_str().expect("text"))
            .expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
