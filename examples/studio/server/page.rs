//! The page, within the program.

use axum::{
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// Path, media type and content of every file.
const FILES: [(&str, &str, &str); 10] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
    ("/app.js", SCRIPT, include_str!("../page/app.js")),
    ("/server.js", SCRIPT, include_str!("../page/server.js")),
    ("/form.js", SCRIPT, include_str!("../page/form.js")),
    ("/words.js", SCRIPT, include_str!("../page/words.js")),
    ("/picture.js", SCRIPT, include_str!("../page/picture.js")),
    ("/result.js", SCRIPT, include_str!("../page/result.js")),
    ("/history.js", SCRIPT, include_str!("../page/history.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The paths of the page's files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, ..)| *path)
}

/// The file of a path.
pub(crate) fn file(path: &str) -> Option<Response> {
    let (_, media_type, content) = FILES.iter().find(|(own, ..)| *own == path)?;
    let headers = [(CONTENT_TYPE, *media_type), (CACHE_CONTROL, "no-cache")];
    Some((headers, *content).into_response())
}
