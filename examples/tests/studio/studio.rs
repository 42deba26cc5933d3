//! A studio of a test: its server without a socket.

use std::{path::Path, sync::Arc, thread::JoinHandle};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use clap::Parser;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::{
    arguments::Arguments,
    server::{self, Shared},
};

pub(crate) const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
pub(crate) const HOST: &str = "127.0.0.1:7860";

/// A server, with or without the thread that generates.
pub(crate) struct Studio {
    pub(crate) shared: Arc<Shared>,
    pub(crate) router: Router,
    runtime: Runtime,
    worker: Option<JoinHandle<()>>,
}

impl Studio {
    /// One that generates.
    pub(crate) fn new() -> Self {
        let mut studio = Self::idle(&[]);
        studio.work();
        studio
    }

    /// Begins to carry out what waits.
    pub(crate) fn work(&mut self) {
        self.worker = Some(server::start(Arc::clone(&self.shared)));
    }

    /// One whose jobs wait for ever.
    pub(crate) fn idle(arguments: &[&str]) -> Self {
        let arguments = Arguments::parse_from([&["studio"], arguments].concat());
        let shared = Arc::new(
            arguments
                .shared(Path::new(ASSETS))
                .expect("the embedded model"),
        );
        Self {
            router: server::router(Arc::clone(&shared)),
            shared,
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            worker: None,
        }
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Response<Body> {
        self.wait(self.router.clone().oneshot(request))
            .expect("an answer")
    }

    pub(crate) fn get(&self, uri: &str) -> (StatusCode, Bytes) {
        let request = Request::get(uri)
            .header(header::HOST, HOST)
            .body(Body::empty());
        self.read(self.send(request.expect("a request")))
    }

    pub(crate) fn read(&self, response: Response<Body>) -> (StatusCode, Bytes) {
        let status = response.status();
        (
            status,
            self.wait(to_bytes(response.into_body(), usize::MAX))
                .expect("a body"),
        )
    }

    pub(crate) fn upload(&self, name: &str, bytes: impl Into<Body>) -> (StatusCode, Value) {
        let uri = format!("/api/pictures?name={name}");
        let request = Request::post(uri)
            .header(header::HOST, HOST)
            .body(bytes.into());
        let (status, body) = self.read(self.send(request.expect("a request")));
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// Asks for pictures; the answer is not read yet.
    pub(crate) fn order(&self, order: &Value) -> Response<Body> {
        let request = Request::post("/api/jobs")
            .header(header::HOST, HOST)
            .header(header::CONTENT_TYPE, "application/json")
            .body(order.to_string().into());
        self.send(request.expect("a request"))
    }

    /// Asks for pictures and waits for them: the last line.
    pub(crate) fn carry_out(&self, order: &Value) -> Value {
        let (_, body) = self.read(self.order(order));
        lines(&body).pop().expect("a line")
    }

    /// Reads lines until one is accepted.
    pub(crate) fn until(&self, job: &mut Job, accept: impl Fn(&Value) -> bool) -> Value {
        self.wait(async {
            loop {
                let chunk = job.next().await.expect("it goes on").expect("bytes");
                if let Some(line) = lines(&chunk).into_iter().find(&accept) {
                    return line;
                }
            }
        })
    }

    /// The reference that is there from the start.
    pub(crate) fn elephant(&self) -> String {
        let elephant = self
            .shared
            .samples
            .iter()
            .find(|sample| sample.name.contains("elephant"));
        elephant.expect("it comes with the model").id.clone()
    }

    /// An order of the embedded model.
    pub(crate) fn small(&self, steps: usize, seed: u64) -> Value {
        json!({
            "settings": {
                "model": server::EMBEDDED,
                "adapter": null,
                "prompt": "an elephant and a car on the grass",
                "negative_prompt": "",
                "concept": {"start": 3, "end": 11},
                "reference": self.elephant(),
                "scale": 1.0,
                "warmup": 0.2,
                "steps": steps,
                "guidance": 7.5,
                "scheduler": null,
                "seed": seed.to_string(),
                "width": null,
                "height": null,
            },
            "methods": ["adapter", "conceptrol"],
        })
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(worker) = self.worker.take() {
            worker.join().expect("the worker ends");
        }
    }
}

/// The answer to an order, as it comes.
pub(crate) type Job = axum::body::BodyDataStream;

pub(crate) fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

/// The id of a picture that was made.
pub(crate) fn id(done: &Value, method: &str) -> String {
    let pictures = done["pictures"]
        .as_array()
        .unwrap_or_else(|| panic!("no pictures: {done}"));
    let made = pictures.iter().find(|made| made["method"] == method);
    made.expect("it was asked for")["id"]
        .as_str()
        .expect("text")
        .to_owned()
}
