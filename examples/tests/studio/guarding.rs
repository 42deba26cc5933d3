//! Who is answered, and what nobody gets.

use std::{fs, os::unix::fs::symlink};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::Value;

use crate::studio::{ASSETS, HOST, Studio};

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

#[test]
fn the_page_is_served_under_its_policy() {
    let studio = Studio::idle(&[]);
    for path in ["/", "/app.js", "/style.css", "/icon.svg", "/words.js"] {
        let request = Request::get(path).header("host", HOST).body(Body::empty());
        let response = studio.send(request.expect("a request"));
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    let (_, page) = studio.get("/");
    let page = String::from_utf8_lossy(&page);
    assert!(
        !page.contains("http:") && !page.contains("https:"),
        "nothing comes from elsewhere"
    );
    assert!(
        !page.contains("style=\"") && !page.contains("onclick"),
        "the policy forbids them"
    );
}

#[test]
fn pages_of_others_are_refused() {
    let studio = Studio::idle(&["--name", "studio.lan"]);
    let status = |path: &str, headers: Headers| {
        let request = headers
            .iter()
            .fold(Request::get(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        studio
            .send(request.body(Body::empty()).expect("a request"))
            .status()
    };
    let ours = StatusCode::OK;
    let refused = StatusCode::FORBIDDEN;
    let cases: [(&str, Headers, StatusCode); 13] = [
        ("/api/start", &[("host", HOST)], ours),
        (
            "/api/start",
            &[
                ("host", "localhost:7860"),
                ("origin", "http://localhost:7860"),
            ],
            ours,
        ),
        (
            "/api/start",
            &[("host", "studio.lan"), ("sec-fetch-site", "same-origin")],
            ours,
        ),
        // a name of theirs that leads here
        ("/", &[("host", "evil.example:7860")], refused),
        (
            "/api/start",
            &[("host", "evil.example"), ("origin", "http://evil.example")],
            refused,
        ),
        ("/api/start", &[], refused),
        (
            "/api/start",
            &[("host", HOST), ("origin", "http://evil.example")],
            refused,
        ),
        ("/api/start", &[("host", HOST), ("origin", "null")], refused),
        (
            "/api/start",
            &[("host", HOST), ("origin", "http://127.0.0.1:7861")],
            refused,
        ),
        (
            "/api/start",
            &[("host", HOST), ("origin", "https://127.0.0.1:7860")],
            refused,
        ),
        (
            "/api/start",
            &[("host", HOST), ("sec-fetch-site", "cross-site")],
            refused,
        ),
        (
            "/api/start",
            &[
                ("host", HOST),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
            refused,
        ),
        // a link to the page
        (
            "/",
            &[
                ("host", HOST),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ],
            ours,
        ),
    ];
    for (path, headers, expected) in cases {
        assert_eq!(status(path, headers), expected, "{path} {headers:?}");
    }
}

#[test]
fn no_path_leads_out() {
    let studio = Studio::idle(&[]);
    let paths = [
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2f..%2fetc/passwd",
        "/api/pictures/..%2f..%2fetc%2fpasswd",
        "/api/pictures/%2fetc%2fpasswd",
        "/api/results/..%2fx/picture.png",
        "//etc/passwd",
        "/studio/server/mod.rs",
    ];
    for path in paths {
        let (status, body) = studio.get(path);
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!String::from_utf8_lossy(&body).contains('/'), "{path}");
    }
}

#[test]
fn only_listed_models_are_opened() {
    let studio = Studio::new();
    let embedded = format!("{ASSETS}/tiny-sd");
    for model in [
        "/etc/passwd",
        "../../tiny-sd",
        &embedded,
        "owner/name",
        "",
        "tiny-sd",
    ] {
        let mut order = studio.small(2, 0);
        order["settings"]["model"] = model.into();
        let (status, body) = studio.read(studio.order(&order));
        let said: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (status, &said["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &"model".into()),
            "{model}"
        );
    }
    for adapter in ["/etc/passwd", "ip-adapter.safetensors"] {
        let mut order = studio.small(2, 0);
        order["settings"]["adapter"] = adapter.into();
        let (_, body) = studio.read(studio.order(&order));
        let said: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(said["field"], "adapter", "{adapter}");
    }
}

#[test]
fn folders_are_listed_without_what_links_lead_out_to_and_messages_without_paths() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("allowed");
    for model in ["broken", "empty/deeper"] {
        fs::create_dir_all(root.join(model)).expect("a folder");
    }
    fs::write(
        root.join("broken/model_index.json"),
        r#"{"_class_name": "StableDiffusionPipeline"}"#,
    )
    .expect("a file");
    fs::write(root.join("notes.txt"), "no model").expect("a file");
    symlink(format!("{ASSETS}/tiny-sd"), root.join("outside")).expect("a link");
    fs::copy(
        format!("{ASSETS}/tiny-sd/ip-adapter.safetensors"),
        root.join("own.safetensors"),
    )
    .expect("a copy");
    let path = root.display().to_string();
    let mut studio = Studio::idle(&["--models", &path]);
    let (_, start) = studio.get("/api/start");
    assert!(!String::from_utf8_lossy(&start).contains(folder.path().to_str().expect("text")));
    let start: Value = serde_json::from_slice(&start).expect("JSON");
    let labels = |list: &str| -> Vec<String> {
        let entries = start["catalogue"][list].as_array().expect("a list");
        entries
            .iter()
            .map(|entry| entry["label"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(labels("models"), [crate::server::EMBEDDED, "broken"]);
    assert_eq!(
        labels("adapters"),
        ["ip-adapter (embedded)", "own.safetensors"]
    );

    studio.work();
    let mut order = studio.small(2, 0);
    order["settings"]["model"] = "broken".into();
    order["settings"]["adapter"] = "own.safetensors".into();
    let said = studio.carry_out(&order);
    let message = said["message"].as_str().expect("a message");
    assert_eq!(
        (&said["state"], &said["field"]),
        (&"failed".into(), &"model".into()),
        "{said}"
    );
    assert!(
        !message.contains(folder.path().to_str().expect("text")),
        "{message}"
    );
    assert!(
        message.contains("broken/"),
        "it says which model: {message}"
    );
}

#[test]
fn what_is_wrong_stands_beside_its_field() {
    let studio = Studio::idle(&[]);
    let cases = [
        ("prompt", Value::from("  ")),
        ("prompt", "two\nlines".into()),
        ("prompt", "x".repeat(5000).into()),
        ("prompt", Value::Null),
        ("negative_prompt", 3.into()),
        ("concept", serde_json::json!({"start": 3, "end": 1000})),
        ("concept", serde_json::json!({"start": 11, "end": 3})),
        ("concept", serde_json::json!({"start": 2, "end": 3})),
        ("concept", Value::Null),
        ("reference", "0123".into()),
        ("reference", Value::Null),
        ("scale", "".into()),
        ("scale", 11.into()),
        ("scale", serde_json::json!(1e300)),
        ("warmup", 1.5.into()),
        ("steps", 0.into()),
        ("steps", 201.into()),
        ("steps", 2.5.into()),
        ("guidance", (-1).into()),
        ("scheduler", "no_such".into()),
        ("seed", "-1".into()),
        ("seed", "99999999999999999999".into()),
        ("seed", 3.into()),
        ("width", 60.into()),
        ("height", 4096.into()),
        ("height", 0.into()),
    ];
    for (field, value) in cases {
        let mut order = studio.small(2, 0);
        order["settings"][field] = value.clone();
        let (status, body) = studio.read(studio.order(&order));
        let said: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (status, &said["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &field.into()),
            "{field} {value}"
        );
    }
    let mut order = studio.small(2, 0);
    order["settings"]["path"] = "/etc/passwd".into();
    assert_eq!(studio.order(&order).status(), StatusCode::BAD_REQUEST);
    order = studio.small(2, 0);
    order["methods"] = serde_json::json!([]);
    assert_eq!(studio.order(&order).status(), StatusCode::BAD_REQUEST);
    order["methods"] = "x".repeat(100 << 10).into();
    assert_eq!(studio.order(&order).status(), StatusCode::PAYLOAD_TOO_LARGE);
}
