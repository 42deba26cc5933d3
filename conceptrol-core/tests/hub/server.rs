//! A hub for one repository, on the loopback: what the real one answers, and what goes wrong with it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every answer but one with this token is 401.
    Token(&'static str),
    /// The connection closes in the middle of each file, once.
    Cut,
    /// It says that files are longer than they are.
    Length,
    /// It lists and tags files with paths that leave the cache.
    Paths,
}

/// What was asked for: method and path, and the range.
pub(crate) type Log = Arc<Mutex<Vec<(String, Option<String>)>>>;

pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) log: Log,
}

impl Server {
    /// Serves the files until the test ends.
    pub(crate) fn start(files: &[(&str, &[u8])], fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        let shared = Arc::new(Shared {
            files: files.collect(),
            fault,
            cut: Mutex::default(),
        });
        let log = Log::default();
        let seen = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, seen) = (Arc::clone(&shared), Arc::clone(&seen));
                thread::spawn(move || drop(shared.answer(stream, &seen)));
            }
        });
        Self { endpoint, log }
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .map(|(path, _)| path.clone())
            .collect()
    }
}

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    fault: Fault,
    /// Files that were cut already.
    cut: Mutex<Vec<String>>,
}

impl Shared {
    fn answer(&self, mut stream: TcpStream, log: &Log) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let range = headers.get("range").cloned();
        log.lock().unwrap().push((path.clone(), range.clone()));
        if let Fault::Token(token) = self.fault
            && headers.get("authorization") != Some(&format!("Bearer {token}"))
        {
            return respond(&mut stream, "401 Unauthorized", "", b"");
        }
        if path.starts_with("/api/models/owner/name/revision/") {
            return match path.ends_with("/main") || path.ends_with(COMMIT) {
                true => respond(&mut stream, "200 OK", "", self.info().as_bytes()),
                false => respond(&mut stream, "404 Not Found", "", b""),
            };
        }
        let resolve = format!("/owner/name/resolve/{COMMIT}/");
        if let Some(name) = path.strip_prefix(&resolve) {
            let Some(bytes) = self.files.get(name) else {
                return respond(&mut stream, "404 Not Found", "", b"");
            };
            // large files are elsewhere, as on the hub
            if name.ends_with(".safetensors") {
                let headers = format!(
                    "location: /elsewhere/{name}\r\nx-repo-commit: {COMMIT}\r\nx-linked-etag: \"{}\"\r\n",
                    self.tag(name)
                );
                return respond(&mut stream, "302 Found", &headers, b"");
            }
            return self.file(&mut stream, name, bytes, range);
        }
        match path
            .strip_prefix("/elsewhere/")
            .and_then(|name| Some((name, self.files.get(name)?)))
        {
            Some((name, bytes)) => self.file(&mut stream, name, bytes, range),
            None => respond(&mut stream, "404 Not Found", "", b""),
        }
    }

    fn file(
        &self,
        stream: &mut TcpStream,
        name: &str,
        bytes: &[u8],
        range: Option<String>,
    ) -> std::io::Result<()> {
        let range = range.unwrap_or_else(|| "bytes=0-".to_owned());
        let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last
            .parse()
            .map_or(bytes.len(), |last: usize| last + 1)
            .min(bytes.len());
        let part = &bytes[first.min(last)..last];
        let total = match self.fault {
            Fault::Length => bytes.len() + 7,
            _ => bytes.len(),
        };
        let headers = format!(
            "content-range: bytes {first}-{}/{total}\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n",
            last.saturating_sub(1),
            self.tag(name)
        );
        let mut cut = self.cut.lock().unwrap();
        if self.fault == Fault::Cut && part.len() > 1 && !cut.contains(&name.to_owned()) {
            cut.push(name.to_owned());
            let half = &part[..part.len() / 2];
            return respond_short(stream, "206 Partial Content", &headers, half, part.len());
        }
        respond(stream, "206 Partial Content", &headers, part)
    }

    fn info(&self) -> String {
        let mut names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        if self.fault == Fault::Paths {
            names.push("unet/../../../../evil.json");
        }
        let files: Vec<_> = names
            .iter()
            .map(|name| format!("{{\"rfilename\":\"{name}\"}}"))
            .collect();
        format!(
            "{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}",
            files.join(",")
        )
    }

    fn tag(&self, name: &str) -> String {
        match self.fault {
            Fault::Paths if name.ends_with(".safetensors") => "../../../evil".to_owned(),
            _ => format!("tag-{}", name.replace(['/', '.'], "-")),
        }
    }
}

fn respond(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    respond_short(stream, status, headers, body, body.len())
}

/// Announces `len` bytes and sends those of `body`.
fn respond_short(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
    len: usize,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n{headers}\r\n"
    )?;
    stream.write_all(body)
}
