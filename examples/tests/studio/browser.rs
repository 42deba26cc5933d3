//! The page in a browser, as people use it.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    desk::{Desk, TcpPage},
    studio::ASSETS,
};

const CONTROL: u32 = 2;

#[test]
#[ignore = "needs Chromium"]
fn generates_scrubs_and_tries_other_strengths() {
    let mut desk = Desk::new();
    let tab = desk.open();
    desk.keep(&tab, "light-empty.png", false);
    desk.generate(&tab, "6");
    desk.keep(&tab, "light.png", false);
    assert_eq!(
        desk.text(&tab, "#own-said").split(" · ").next(),
        Some("scale 1, warm-up 0.2")
    );
    assert!(desk.is(&tab, "document.getElementById('plain').naturalWidth === 64"));
    // every step and site
    assert_eq!(
        desk.browser
            .eval(&tab, "document.getElementById('mask-site').options.length"),
        7
    );
    let before = desk
        .browser
        .eval(&tab, "document.getElementById('mask').src");
    desk.set(&tab, "mask-step", "2");
    assert_ne!(
        desk.browser
            .eval(&tab, "document.getElementById('mask').src"),
        before
    );
    assert_eq!(desk.text(&tab, "#mask-step-value"), "2/6");
    desk.shown(&tab);
    // the slider keeps the plain adapter's picture
    let plain = desk
        .browser
        .eval(&tab, "document.getElementById('plain').src");
    let own = desk
        .browser
        .eval(&tab, "document.getElementById('own').src");
    desk.set(&tab, "again-scale", "0.5");
    desk.browser.wait(
        &tab,
        "document.getElementById('own-said').textContent.startsWith('scale 0.5')",
    );
    desk.shown(&tab);
    assert_eq!(
        desk.browser
            .eval(&tab, "document.getElementById('plain').src"),
        plain
    );
    assert_ne!(
        desk.browser
            .eval(&tab, "document.getElementById('own').src"),
        own
    );
    desk.set(&tab, "again-scale", "1");
    desk.browser.wait(
        &tab,
        "document.getElementById('live').textContent.includes('computed before')",
    );
    assert_eq!(
        desk.browser
            .eval(&tab, "document.getElementById('own').src"),
        own
    );
    // the history, also after a reload
    assert_eq!(
        desk.browser.eval(
            &tab,
            "document.querySelectorAll('#history-list button').length"
        ),
        2
    );
    desk.browser.call(Some(&tab), "Page.reload", json!({}));
    desk.browser.wait(
        &tab,
        "document.querySelectorAll('#history-list button').length === 2",
    );
    desk.ready(&tab);
    desk.browser
        .click(&tab, "#history-list li:nth-child(2) button");
    desk.browser.wait(
        &tab,
        "document.getElementById('own-said').textContent.startsWith('scale 0.5')",
    );
    assert_eq!(
        desk.browser
            .eval(&tab, "document.getElementById('scale').value"),
        "0.5"
    );
    desk.quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn cancels_and_its_job_is_freed() {
    let mut desk = Desk::new();
    let tab = desk.open();
    desk.set(&tab, "steps", "200");
    desk.browser.click(&tab, "#generate");
    desk.browser.wait(&tab, "document.getElementById('stage').textContent.includes('step') && !document.getElementById('preview').hidden");
    desk.keep(&tab, "progress.png", false);
    assert!(desk.is(
        &tab,
        "document.getElementById('bar').value < 1 && document.title.includes('%')"
    ));
    desk.browser.click(&tab, "#cancel");
    desk.browser.wait(
        &tab,
        "document.getElementById('progress').hidden && document.getElementById('cancel').hidden",
    );
    assert!(desk.is(&tab, "document.getElementById('sheet').hidden"));
    assert!(
        desk.is(&tab, "document.activeElement.id === 'generate'"),
        "focus stays near"
    );
    // a tab that is closed frees its job, too
    desk.browser.click(&tab, "#generate");
    desk.browser.wait(
        &tab,
        "document.getElementById('stage').textContent.includes('step')",
    );
    desk.browser.close(tab);
    let tab = desk.open();
    desk.generate(&tab, "2");
    desk.quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn says_what_is_wrong_beside_the_field() {
    let mut desk = Desk::new();
    let tab = desk.open();
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("notes.png");
    fs::write(&wrong, "no picture").expect("a file");
    desk.browser.choose_file(&tab, "#reference-file", &wrong);
    desk.browser
        .wait(&tab, "!document.getElementById('reference-error').hidden");
    assert!(desk.text(&tab, "#reference-error").contains("not a PNG"));
    desk.keep(&tab, "wrong.png", false);
    assert!(desk.is(
        &tab,
        "document.getElementById('reference').getAttribute('aria-invalid') === 'true'"
    ));
    let large = folder.path().join("large.png");
    fs::File::create(&large)
        .and_then(|file| file.set_len(17 << 20))
        .expect("a file");
    desk.browser.drop_file(&tab, "#drop", &large);
    desk.browser.wait(
        &tab,
        "document.getElementById('reference-error').textContent.includes('16 MB')",
    );
    // numbers, and words that are not picked
    desk.set(&tab, "steps", "0");
    desk.browser.click(&tab, "#generate");
    desk.browser
        .wait(&tab, "!document.getElementById('steps-error').hidden");
    assert!(desk.is(
        &tab,
        "document.activeElement.id === 'steps' && document.getElementById('reference-error').hidden"
    ));
    desk.set(&tab, "steps", "3");
    desk.browser.click(&tab, "#words button:nth-child(2)"); // no longer
    desk.browser.click(&tab, "#generate");
    desk.browser
        .wait(&tab, "!document.getElementById('concept-error').hidden");
    // a reference by drop, and a phrase of two words
    desk.browser.click(&tab, "#words button:nth-child(2)");
    desk.browser.click(&tab, "#words button:nth-child(1)");
    assert_eq!(
        desk.browser.eval(
            &tab,
            "document.querySelectorAll('#words [aria-pressed=true]').length"
        ),
        2
    );
    desk.browser.drop_file(
        &tab,
        "#drop",
        &Path::new(ASSETS).join("tiny-sd/references/green_cat.png"),
    );
    desk.browser.wait(
        &tab,
        "document.getElementById('reference-name').textContent === 'green_cat.png'",
    );
    desk.generate(&tab, "3");
    let log = |event: &&Value| event["method"] == "Runtime.exceptionThrown";
    assert!(
        !desk.browser.events.iter().any(|event| log(&event)),
        "refusals are no failures of the page"
    );
}

#[test]
#[ignore = "needs Chromium"]
fn pages_share_a_queue() {
    let mut desk = Desk::new();
    let (first, second) = (desk.open(), desk.open());
    desk.set(&first, "steps", "200");
    desk.browser.click(&first, "#generate");
    desk.browser.wait(
        &first,
        "document.getElementById('stage').textContent.includes('step')",
    );
    desk.set(&second, "steps", "3");
    desk.browser
        .call(Some(&second), "Page.bringToFront", json!({}));
    desk.browser.click(&second, "#generate");
    desk.browser.wait(
        &second,
        "document.getElementById('stage').textContent === '1 before you'",
    );
    desk.keep(&second, "queue.png", false);
    desk.browser
        .eval(&first, "document.getElementById('cancel').click()");
    desk.shown(&second);
    desk.quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn is_readable_in_the_dark_and_on_a_phone() {
    let mut desk = Desk::new();
    let tab = desk.open();
    desk.generate(&tab, "3");
    let luminance = "((rgb) => 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2])";
    let paper = format!(
        "{luminance}(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
    );
    for (dark, width, name) in [
        (false, 1280, "light-sheet.png"),
        (true, 1280, "dark.png"),
        (true, 360, "phone-dark.png"),
        (false, 360, "phone.png"),
        (false, 720, "narrow.png"),
    ] {
        desk.browser.look_like(&tab, width, 800, dark);
        let brightness = desk.browser.eval(&tab, &paper).as_f64().expect("a number");
        assert_eq!(brightness < 60.0, dark, "{brightness}");
        assert!(
            desk.is(&tab, "document.documentElement.scrollWidth <= innerWidth"),
            "{width}: no scrolling to the side"
        );
        assert_eq!(desk.browser.eval(&tab, CONTRAST), json!([]), "{name}");
        if width == 360 {
            assert_eq!(desk.browser.eval(&tab, SMALL), json!([]), "{name}");
        }
        desk.keep(&tab, name, width != 1280);
    }
    desk.quiet();
}

/// Texts that are too faint: less than 4.5 to 1 against what is behind them.
const CONTRAST: &str = r"(() => {
  const channel = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('[aria-disabled=true], .unseen, option')) continue;
    const [text, paper] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${element.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return faint;
})()";

/// What is too small for a finger: less than 24 pixels.
const SMALL: &str = r"[...document.querySelectorAll('button, a, input, select, textarea, summary')]
  .filter((element) => element.checkVisibility() && !element.matches('.skip'))
  .filter((element) => { const { width, height } = element.getBoundingClientRect(); return Math.min(width, height) < 24 && element.type !== 'checkbox'; })
  .map((element) => element.outerHTML.slice(0, 80))";

#[test]
#[ignore = "needs Chromium"]
fn works_by_keyboard_and_for_screen_readers() {
    let mut desk = Desk::new();
    let tab = desk.open();
    // everything has a name
    let unnamed = r"[...document.querySelectorAll('button, a[href], input:not([type=file]), select, textarea')]
        .filter((element) => element.checkVisibility())
        .filter((element) => !(element.getAttribute('aria-label') || element.textContent.trim() || element.labels?.length || element.querySelector('img[alt]:not([alt=\'\'])')))
        .map((element) => element.outerHTML)";
    assert_eq!(desk.browser.eval(&tab, unnamed), json!([]));
    assert_eq!(
        desk.browser.eval(
            &tab,
            "[...document.images].filter((picture) => !picture.hasAttribute('alt')).length"
        ),
        0
    );
    // the way of the focus is that of the eye
    let mut way = Vec::new();
    for _ in 0..24 {
        desk.browser.press(&tab, "Tab", 9, 0);
        let at = "(() => { const at = document.activeElement; return at.id || at.className || at.textContent || at.tagName; })()";
        way.push(
            desk.browser
                .eval(&tab, at)
                .as_str()
                .expect("text")
                .to_owned(),
        );
        let outline = desk.browser.eval(
            &tab,
            "getComputedStyle(document.activeElement).outlineStyle",
        );
        assert_ne!(outline, "none", "the focus is seen at {way:?}");
    }
    let place = |id: &str| {
        way.iter()
            .position(|at| at == id)
            .unwrap_or_else(|| panic!("{id} is not on {way:?}"))
    };
    let order = [
        "skip",
        "restore-button",
        "prompt",
        "an",
        "elephant",
        "reference",
        "scale",
        "warmup",
        "seed",
    ]
    .map(place);
    assert!(order.is_sorted(), "{way:?}");
    // words are picked with the space bar, which keeps the focus
    desk.browser.eval(
        &tab,
        "document.querySelector('#words button:nth-child(5)').focus()",
    );
    desk.browser.press(&tab, " ", 32, 0);
    let picked = "[...document.querySelectorAll('#words [aria-pressed=true]')].map((word) => word.textContent).join(' ')";
    assert_eq!(desk.browser.eval(&tab, picked), "car");
    assert_eq!(
        desk.browser
            .eval(&tab, "document.activeElement.textContent"),
        "car"
    );
    // and a picture is made without the mouse; what happens is said
    desk.set(&tab, "steps", "4");
    desk.browser.eval(&tab, "globalThis.heard = []; new MutationObserver(() => heard.push(document.getElementById('live').textContent)).observe(document.getElementById('live'), {childList: true})");
    desk.browser.press(&tab, "Enter", 13, CONTROL);
    desk.shown(&tab);
    desk.browser.wait(&tab, "heard.at(-1) === 'Finished'");
    let heard = desk.browser.eval(&tab, "heard");
    let heard = heard.as_array().expect("a list");
    assert!(heard.len() <= 14, "not every step is told: {heard:?}");
    assert!(
        heard.iter().any(|text| text
            .as_str()
            .is_some_and(|text| text.starts_with("Conceptrol,"))),
        "{heard:?}"
    );
    desk.quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn restores_the_settings_of_a_picture() {
    let mut desk = Desk::new();
    let tab = desk.open();
    desk.set(&tab, "seed", "4242");
    desk.set(&tab, "scale", "0.7");
    desk.generate(&tab, "3");
    // the file that the page would save
    let fetch = "fetch(document.getElementById('own-save').href).then((r) => r.arrayBuffer()).then((b) => Array.from(new Uint8Array(b)))";
    let bytes: Vec<u8> = serde_json::from_value(desk.browser.eval(&tab, fetch)).expect("bytes");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("conceptrol.png");
    fs::write(&file, bytes).expect("a file");
    desk.browser.close(tab);

    let tab = desk.open();
    desk.set(&tab, "prompt", "a penguin");
    desk.browser.drop_file(&tab, "#empty", &file);
    desk.browser.wait(
        &tab,
        "document.getElementById('notes').textContent.includes('settings are in the form')",
    );
    for (id, value) in [
        ("prompt", "an elephant and a car on the grass"),
        ("seed", "4242"),
        ("scale", "0.7"),
        ("steps", "3"),
        ("warmup", "0.2"),
    ] {
        assert_eq!(
            desk.browser
                .eval(&tab, &format!("document.getElementById({id:?}).value")),
            value
        );
    }
    assert_eq!(desk.text(&tab, "#words [aria-pressed=true]"), "elephant");
    assert!(desk.text(&tab, "#reference-name").contains("elephant"));
    desk.browser.click(&tab, "#generate");
    desk.shown(&tab);
    // the same file as a reference offers its settings
    desk.browser.drop_file(&tab, "#drop", &file);
    desk.browser
        .wait(&tab, "!document.getElementById('reference-note').hidden");
    // pasted
    let paste = "(async () => { const blob = await (await fetch(document.getElementById('own-save').href)).blob(); const data = new DataTransfer(); \
                 data.items.add(new File([blob], 'x.png', {type: 'image/png'})); document.getElementById('seed').value = '1'; \
                 document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); })()";
    desk.browser.eval(&tab, paste);
    desk.browser
        .wait(&tab, "document.getElementById('seed').value === '4242'");
    desk.quiet();
}

#[test]
#[ignore = "needs Chromium"]
fn pages_of_others_get_nothing() {
    let mut desk = Desk::new();
    let port = desk.address.port();
    // a name that was made to point here
    let rebound = desk
        .browser
        .open(&format!("http://rebound.example:{port}/"));
    assert!(desk.text(&rebound, "body").contains("refused"));
    // another page of this machine, which may send but not read
    let page = TcpPage::serve("<title>other</title>");
    let other = desk.browser.open(&page.url);
    let target = format!("http://127.0.0.1:{port}/api/jobs");
    let order = desk.studio.small(2, 0).to_string();
    let send = format!(
        "fetch({target:?}, {{method: 'POST', mode: 'no-cors', body: {order:?}}}).then(() => true, () => true)"
    );
    assert_eq!(desk.browser.eval(&other, &send), true);
    let read = format!("fetch({target:?}).then(() => 'read', () => 'refused')");
    assert_eq!(desk.browser.eval(&other, &read), "refused");
    let picture = format!(
        "new Promise((done) => {{ const picture = new Image(); picture.onload = () => done('shown'); picture.onerror = () => done('refused'); \
         picture.src = 'http://127.0.0.1:{port}/icon.svg'; }})"
    );
    assert_eq!(desk.browser.eval(&other, &picture), "refused");
    let answers = desk.browser.statuses(&target);
    assert!(
        answers.len() >= 2 && answers.iter().all(|status| *status == 403),
        "{answers:?}"
    );
    // nor in a frame
    let framed = format!(
        "new Promise((done) => {{ const frame = document.createElement('iframe'); frame.src = 'http://127.0.0.1:{port}/'; \
         frame.onload = () => {{ try {{ done(frame.contentDocument === null ? 'closed' : 'open'); }} catch {{ done('closed'); }} }}; document.body.append(frame); }})"
    );
    assert_eq!(desk.browser.eval(&other, &framed), "closed");
}
