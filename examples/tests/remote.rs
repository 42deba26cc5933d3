//! Devices of another process: the same pictures as here, and an end within seconds where there is none.

#![cfg(all(feature = "flex", feature = "remote"))]

mod common;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use conceptrol_core::{
    burn::tensor::{Device, Tensor},
    pipeline::{ConceptRequest, LoadOptions, Pipeline, PipelineError, Request, Silent},
    remote::{RemoteDevice, RemoteError},
};
use conceptrol_sd::{StableDiffusion, pipeline::Extra};

use common::example;

const TOKEN: &str = "a token of this test";

/// Far beyond the seconds in which a connection that is gone must be noticed: the machine may be busy.
const HANGS: Duration = Duration::from_secs(180);

/// `conceptrol-serve` on a free port; killed when dropped.
struct Server {
    child: Child,
    address: String,
    _log: thread::JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let mut child = example("conceptrol-serve")
            .args(["--listen", "127.0.0.1:0"])
            .env("CONCEPTROL_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut log: BufReader<ChildStdout> = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().expect("an address");
        Self {
            address: address.to_owned(),
            // a full pipe would stop the server
            _log: thread::spawn(move || drop(std::io::copy(&mut log, &mut std::io::sink()))),
            child,
        }
    }

    fn connect(&self) -> RemoteDevice {
        RemoteDevice::connect(&self.address, Some(TOKEN)).expect("a session")
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its status");
    }

    /// Stops the process without ending it: its connections stay open and nothing answers.
    #[cfg(unix)]
    fn freeze(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(status.expect("kill").success(), "stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program gave back; a program that hangs fails the test.
fn ended(child: Child) -> Output {
    let id = child.id();
    let watch = thread::spawn(move || child.wait_with_output().expect("its output"));
    let start = Instant::now();
    while !watch.is_finished() {
        assert!(start.elapsed() < HANGS, "process {id} hangs");
        thread::sleep(Duration::from_millis(50));
    }
    watch.join().expect("its output")
}

/// The result of work that may hang.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let work = thread::spawn(work);
    let start = Instant::now();
    while !work.is_finished() {
        assert!(start.elapsed() < HANGS, "the work hangs");
        thread::sleep(Duration::from_millis(50));
    }
    work.join().expect("no panic")
}

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

fn embedded(device: Device) -> StableDiffusion {
    let model = assets().join("tiny-sd");
    let adapter = (
        model.join("ip-adapter.safetensors"),
        model.join("image_encoder"),
    );
    let options = LoadOptions::new(device).adapter(adapter);
    StableDiffusion::open(&model, options).expect("the embedded model")
}

fn request() -> Request<Extra> {
    let reference = image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([(4 * x) as u8, (4 * y) as u8, 128])
    });
    Request::new("a rocket in a white room")
        .concept(ConceptRequest::new("rocket", reference))
        .steps(3)
        .seed(5)
}

/// FLUX's golden case of this repository, and where there are more, those that `CONCEPTROL_CASES` names.
#[test]
fn golden_cases_pass_over_loopback() {
    let server = Server::start();
    let flux = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../conceptrol-flux/tests/fixtures/flux_dev_conceptrol_w025_s07");
    let mut parity = example("parity");
    parity
        .args(["--backend", &format!("remote:{}", server.address)])
        .arg(flux)
        .env("CONCEPTROL_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(cases) = env::var_os("CONCEPTROL_CASES") {
        let sd = Path::new(&cases).join("public/sd15_base_conceptrol_w00");
        if sd.is_dir() {
            parity.arg(sd);
        }
    }
    let output = parity.output().expect("parity");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let last = text.lines().last().expect("a summary");
    assert!(last.ends_with(" passed, 0 failed"), "{last}");
    assert!(!last.starts_with("0 "), "{last}");
}

#[test]
fn a_picture_is_that_of_this_machine() {
    let server = Server::start();
    let remote = server.connect();
    let here = embedded(Device::flex())
        .generate(&request(), &mut Silent)
        .expect("a picture");
    let pipeline = embedded(remote.device());
    let generate = |steps| {
        let before = remote.traffic();
        let generation = pipeline.generate(&request().steps(steps), &mut Silent);
        (
            generation.expect("a picture"),
            remote.traffic().since(before),
        )
    };
    // the first one sends the weights
    let (there, first) = generate(3);
    assert!(first.sent_bytes > 10_000_000, "{first:?}");
    let ((_, few), (_, more)) = (generate(3), generate(6));
    let pairs = here.images[0].as_raw().iter().zip(there.images[0].as_raw());
    let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max();
    // sums in another order, rounded to 8 bits
    assert!(largest <= Some(1), "{largest:?} of 255");
    assert!(few.sent > 100 && more.sent > few.sent, "{few:?}, {more:?}");
    // latents, pixels and what is checked to be finite: nothing is read while denoising
    assert!((2..10).contains(&few.received), "{few:?}");
    assert_eq!(few.received, more.received, "read while denoising");
}

#[test]
fn a_token_is_asked_for() {
    let server = Server::start();
    let address = server.address.clone();
    for (token, expected) in [
        (
            Some("another token"),
            RemoteError::WrongToken {
                address: address.clone(),
            },
        ),
        (
            None,
            RemoteError::NoToken {
                address: address.clone(),
            },
        ),
    ] {
        let at = address.clone();
        let error = in_time(move || RemoteDevice::connect(&at, token).map(drop));
        assert_eq!(error, Err(expected));
    }
    // and of who lends a device
    let output = example("conceptrol-serve")
        .args(["--listen", "127.0.0.1:0"])
        .env_remove("CONCEPTROL_TOKEN")
        .output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("no token"), "{complaint}");
}

#[test]
fn what_is_no_server_is_an_error() {
    let nobody = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("its address").to_string()
    };
    let unreachable = in_time(move || RemoteDevice::connect(&nobody, Some(TOKEN)).map(drop));
    assert!(
        matches!(unreachable, Err(RemoteError::Unreachable { .. })),
        "{unreachable:?}"
    );

    // accepts, and says nothing; accepts, and speaks of something else; speaks HTTP, and knows no session
    let answers: [&'static [u8]; 3] = [
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    ];
    for answer in answers {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        thread::spawn(move || {
            let mut open = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.expect("a connection");
                let _ = socket.read(&mut [0; 1024]);
                let _ = socket.write_all(answer);
                open.push(socket);
            }
        });
        let refused = in_time(move || RemoteDevice::connect(&address, Some(TOKEN)).map(drop));
        assert!(
            matches!(
                refused,
                Err(RemoteError::Unreachable { .. } | RemoteError::NoSession { .. })
            ),
            "{answer:?}: {refused:?}"
        );
    }
}

#[test]
fn a_server_that_dies_is_an_error_of_pipelines_and_tensors() {
    let mut server = Server::start();
    let remote = server.connect();
    let pipeline = embedded(remote.device());
    pipeline
        .generate(&request().steps(1), &mut Silent)
        .expect("a picture");
    remote.check().expect("connected");
    server.kill();
    let error = in_time(move || pipeline.generate(&request(), &mut Silent).map(drop));
    assert!(
        matches!(error, Err(PipelineError::Device { .. })),
        "{error:?}"
    );
    let device = remote.device();
    let lost = in_time(move || {
        let read = || Tensor::<1>::ones([4], &device).into_data();
        remote.guard(read).map(drop)
    });
    assert!(matches!(lost, Err(RemoteError::Lost { .. })), "{lost:?}");
}

#[cfg(unix)]
#[test]
fn a_connection_over_which_nothing_comes_any_more_is_given_up() {
    let server = Server::start();
    let remote = server.connect();
    let device = remote.device();
    Tensor::<1>::ones([4], &device).into_data();
    server.freeze();
    let lost = in_time(move || {
        let read = || Tensor::<1>::ones([4], &device).into_data();
        remote.guard(read).map(drop)
    });
    assert!(matches!(lost, Err(RemoteError::Lost { .. })), "{lost:?}");
}

#[test]
fn rows_of_an_evaluation_outlast_the_server() {
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let rows = folder.path().join("masks.jsonl");
    let child = example("evaluate")
        .args(["masks", "--quick", "--count", "8", "--steps", "4"])
        .args(["--backend", &format!("remote:{}", server.address)])
        .arg("--out")
        .arg(folder.path())
        .env("CONCEPTROL_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("evaluate starts");
    let lines = || fs::read_to_string(&rows).map_or(0, |text| text.lines().count());
    let start = Instant::now();
    // the first line is the setup
    while lines() < 2 {
        assert!(start.elapsed() < HANGS, "no rows");
        thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let output = ended(child);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("was lost"), "{complaint}");
    assert!(
        complaint.contains("the same command goes on"),
        "{complaint}"
    );
    assert!(!complaint.contains("panicked"), "{complaint}");
    assert!(lines() >= 2, "rows are kept");
}
