//! A browser before a studio, and what is done there.

use std::{env, fs, net::SocketAddr, path::PathBuf, thread};

use serde_json::Value;
use tokio::{net::TcpListener, runtime::Builder};

use crate::{
    devtools::{Browser, Tab},
    studio::Studio,
};

/// A studio behind a socket, and a browser before it.
pub(crate) struct Desk {
    pub(crate) browser: Browser,
    pub(crate) address: SocketAddr,
    pub(crate) studio: Studio,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let studio = Studio::new();
        let router = studio.router.clone();
        let (tell, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("an address"))
                    .expect("somebody waits");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        Self {
            browser: Browser::start(),
            address: address.recv().expect("an address"),
            studio,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A tab with the page, ready.
    pub(crate) fn open(&mut self) -> Tab {
        let tab = self.browser.open(&self.url());
        self.browser.look_like(&tab, 1280, 900, false);
        self.ready(&tab);
        tab
    }

    pub(crate) fn ready(&mut self, tab: &Tab) {
        self.browser
            .wait(tab, "document.documentElement.dataset.ready === 'yes'");
    }

    /// Writes into a field as a person does.
    pub(crate) fn set(&mut self, tab: &Tab, id: &str, value: &str) {
        let write = format!(
            "(() => {{ const field = document.getElementById({id:?}); field.value = {value:?}; \
             for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{bubbles: true}})); }})()"
        );
        self.browser.eval(tab, &write);
    }

    pub(crate) fn is(&mut self, tab: &Tab, expression: &str) -> bool {
        self.browser.eval(tab, expression) == true
    }

    pub(crate) fn text(&mut self, tab: &Tab, selector: &str) -> String {
        let text = self.browser.eval(
            tab,
            &format!("document.querySelector({selector:?}).textContent"),
        );
        text.as_str().expect("text").to_owned()
    }

    /// Generates and waits for the sheet, whose pictures are there.
    pub(crate) fn generate(&mut self, tab: &Tab, steps: &str) {
        self.set(tab, "steps", steps);
        self.browser.click(tab, "#generate");
        self.shown(tab);
    }

    pub(crate) fn shown(&mut self, tab: &Tab) {
        self.browser.wait(
            tab,
            "document.getElementById('progress').hidden && !document.getElementById('sheet').hidden && \
             ['own', 'mask'].every((id) => { const picture = document.getElementById(id); return picture.complete && picture.naturalWidth > 0; })",
        );
    }

    /// That nothing was refused by the policy, and nothing failed.
    pub(crate) fn quiet(&mut self) {
        let told = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || event["method"] == "Log.entryAdded"
                    && event["params"]["entry"]["level"] == "error"
        };
        let complaints: Vec<&Value> = self.browser.events.iter().filter(told).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Where screenshots go, if anybody wants them: a folder in the variable `STUDIO_SCREENSHOTS`.
    pub(crate) fn keep(&mut self, tab: &Tab, name: &str, whole: bool) {
        if let Some(folder) = env::var_os("STUDIO_SCREENSHOTS") {
            let shot = self.browser.screenshot(tab, whole);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(PathBuf::from(folder).join(name), shot).expect("a file");
        }
    }
}

/// A server of one page, elsewhere.
pub(crate) struct TcpPage {
    pub(crate) url: String,
}

impl TcpPage {
    pub(crate) fn serve(page: &'static str) -> Self {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.expect("a connection");
                let _ = connection.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    page.len()
                );
                let _ = connection.write_all((head + page).as_bytes());
            }
        });
        Self { url }
    }
}
