//! What can be asked of the server.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use conceptrol_core::models::scheduler::SchedulerName;
use conceptrol_examples::parameters::of_png;
use form_urlencoded::parse;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    catalogue::{Catalogue, EMBEDDED},
    guard::guard,
    page,
    progress::{Progress, line, lines},
    refusal::{Refusal, json},
    restore::{Restored, restore},
    results::Finished,
    settings::{LONGEST_SIDE, MOST_STEPS, Method, Order},
    state::Shared,
    upload::{MOST_BYTES, Picture},
};

/// Bytes that an order may have.
const LONGEST_ORDER: usize = 64 << 10;

type App = State<Arc<Shared>>;

/// The server without its worker.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for path in page::paths() {
        router = router.route(path, get(page_file));
    }
    router
        .route("/api/start", get(start))
        .route("/api/pictures", post(upload))
        .route("/api/pictures/{id}", get(picture))
        .route("/api/jobs", post(generate))
        .route("/api/results/{id}", get(about))
        .route("/api/results/{id}/picture.png", get(result))
        .route("/api/results/{id}/mask.png", get(mask))
        .route("/api/results/{id}/sheet.png", get(sheet))
        .fallback(|| async { Refusal::whole(StatusCode::NOT_FOUND, "There is nothing here.") })
        .layer(DefaultBodyLimit::max(LONGEST_ORDER))
        .layer(from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

async fn page_file(uri: Uri) -> Response {
    page::file(uri.path()).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// What the page begins with.
#[derive(Serialize)]
struct Start<'a> {
    catalogue: &'a Catalogue,
    embedded: &'static str,
    samples: Vec<Sample<'a>>,
    schedulers: Vec<String>,
    limits: Limits,
}

#[derive(Serialize)]
struct Sample<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Limits {
    bytes: usize,
    steps: usize,
    side: usize,
}

async fn start(State(shared): App) -> Response {
    json(&Start {
        catalogue: &shared.catalogue,
        embedded: EMBEDDED,
        samples: (shared.samples.iter())
            .map(|picture| Sample {
                id: &picture.id,
                name: &picture.name,
            })
            .collect(),
        schedulers: SchedulerName::all().collect(),
        limits: Limits {
            bytes: MOST_BYTES,
            steps: MOST_STEPS,
            side: LONGEST_SIDE,
        },
    })
}

/// A picture that was taken, and the settings it carries.
#[derive(Serialize)]
struct Taken {
    id: String,
    name: String,
    width: u32,
    height: u32,
    restored: Option<Restored>,
}

async fn upload(State(shared): App, uri: Uri, body: Body) -> Result<Response, Refusal> {
    let name = query(&uri, "name").unwrap_or_default();
    let kept = Arc::clone(&shared);
    let work = move |bytes| {
        let picture = Picture::read(&name, bytes)?;
        let text = of_png(&picture.bytes);
        let restored = text.and_then(|text| restore(&text, &kept));
        let (id, size) = (picture.id.clone(), picture.bytes.len());
        let picture = kept.pictures.put(&id, size, picture);
        Ok(Taken {
            id,
            name: picture.name.clone(),
            width: picture.width,
            height: picture.height,
            restored,
        })
    };
    let taken = shared.gate.take(body, work).await?;
    Ok(json(&taken))
}

async fn picture(State(shared): App, Path(id): Path<String>) -> Result<Response, Refusal> {
    let picture = shared
        .picture(&id)
        .ok_or_else(|| Refusal::not_found("This picture"))?;
    let headers = [
        (CONTENT_TYPE, picture.media_type),
        (CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, picture.bytes.clone()).into_response())
}

/// The answer lasts as long as the job, and the job no longer than the connection.
async fn generate(
    State(shared): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if media_type.is_none_or(|media_type| !media_type.starts_with("application/json")) {
        let message = "An order is JSON.";
        return Err(Refusal::whole(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let order = Order::read(&body)?;
    let settings = &order.settings;
    if shared.catalogue.model(&settings.model).is_none() && !shared.catalogue.hub {
        return Err(Refusal::of("model", "Choose a model of the list."));
    }
    shared
        .catalogue
        .adapter(&settings.model, settings.adapter.as_deref())?;
    let reference = match &settings.reference {
        None => None,
        Some(id) => Some(shared.picture(id).ok_or_else(|| {
            Refusal::of(
                "reference",
                "The picture is no longer here. Choose it again.",
            )
        })?),
    };
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CACHE_CONTROL, "no-store"),
    ];
    // what is there already waits for nothing
    let known = |method: &Method| Some(shared.results.get(&settings.id(*method))?.made(true));
    if let Some(pictures) = order.methods.iter().map(known).collect() {
        return Ok((headers, line(&Progress::Done { pictures })).into_response());
    }
    let ticket = shared.queue.push(order, reference)?;
    Ok((headers, Body::from_stream(lines(ticket))).into_response())
}

async fn about(State(shared): App, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(json(&finished(&shared, &id)?.about()))
}

async fn result(State(shared): App, Path(id): Path<String>) -> Result<Response, Refusal> {
    let finished = finished(&shared, &id)?;
    let name = match finished.method {
        Method::Adapter => "plain-adapter.png",
        Method::Conceptrol => "conceptrol.png",
        Method::Text => "text-only.png",
    };
    png(name, move || finished.png(&finished.picture)).await
}

async fn mask(State(shared): App, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let finished = finished(&shared, &id)?;
    let (site, step) = (number(&uri, "site")?, number(&uri, "step")?);
    let make = move || {
        let mask = finished.masks.over(&finished.picture, site, step);
        let missing = || Refusal::whole(StatusCode::NOT_FOUND, "There is no such mask.");
        finished.png(&mask.ok_or_else(missing)?)
    };
    png("mask.png", make).await
}

async fn sheet(State(shared): App, Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let one = finished(&shared, &id)?;
    let other = match query(&uri, "beside") {
        None => None,
        Some(id) => Some(finished(&shared, &id)?),
    };
    let reference = one
        .settings
        .reference
        .as_ref()
        .and_then(|id| shared.picture(id));
    let make = move || {
        let reference = reference.map(|picture| picture.pixels()).transpose()?;
        one.sheet(other.as_deref(), reference.as_ref())
    };
    png("sheet.png", make).await
}

fn finished(shared: &Shared, id: &str) -> Result<Arc<Finished>, Refusal> {
    shared
        .results
        .get(id)
        .ok_or_else(|| Refusal::not_found("This picture"))
}

/// A PNG that takes a moment to make.
async fn png(
    name: &'static str,
    make: impl FnOnce() -> Result<Vec<u8>, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let failed = |_| {
        Refusal::whole(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The picture could not be written.",
        )
    };
    let bytes = spawn_blocking(make).await.map_err(failed)??;
    let headers = [
        (CONTENT_TYPE, "image/png".to_owned()),
        (CACHE_CONTROL, "private, max-age=3600".to_owned()),
        (CONTENT_DISPOSITION, format!("inline; filename=\"{name}\"")),
    ];
    Ok((headers, bytes).into_response())
}

/// A value of the query.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = parse(uri.query().unwrap_or_default().as_bytes());
    pairs
        .find(|(own, _)| own == name)
        .map(|(_, value)| value.into_owned())
}

/// A number of the query.
fn number(uri: &Uri, name: &str) -> Result<Option<usize>, Refusal> {
    let number = query(uri, name).map(|value| value.parse());
    let bad = |_| Refusal::whole(StatusCode::BAD_REQUEST, "A number was expected.");
    number.transpose().map_err(bad)
}
