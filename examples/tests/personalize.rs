//! The command line as people use it: what it refuses, before the first step, and what it leaves behind.

#[path = "personalize/control.rs"]
mod control;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use image::{GrayImage, Luma, RgbImage};
use tempfile::TempDir;

/// The program, built beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder");
    folder.join("examples/personalize")
}

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny-sd")
}

fn reference() -> String {
    assets()
        .join("references/green_cat.png")
        .display()
        .to_string()
}

/// Runs with these arguments in an empty folder.
fn run(arguments: &[&str]) -> (Output, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(program())
        .args(arguments)
        .current_dir(&folder)
        .output()
        .expect("the example is built with the tests");
    (output, folder)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message of a run that is refused before its first step, and writes nothing.
fn refused(arguments: &[&str]) -> String {
    let (output, folder) = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    let written = fs::read_dir(folder.path().join("target/personalize"));
    let pictures = written.map_or(0, |files| files.count());
    assert_eq!(pictures, 0, "{arguments:?}");
    text(&output.stderr)
}

/// The `parameters` of a picture.
fn parameters(picture: &Path) -> String {
    let bytes = fs::read(picture).expect("a picture");
    let reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .expect("a PNG");
    let texts = &reader.info().uncompressed_latin1_text;
    let found = texts.iter().find(|text| text.keyword == "parameters");
    found.expect("a text").text.clone()
}

fn pictures(folder: &TempDir) -> PathBuf {
    folder.path().join("target/personalize")
}

#[test]
fn what_is_wrong_shows_before_the_first_step() {
    let cases: [(&[&str], &str); 18] = [
        (
            &["--concept-block", "nonsense", "--steps", "500"],
            "no site matches `nonsense`",
        ),
        (
            &[
                "--concept-block",
                "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
            ],
            "not one that sees words",
        ),
        (
            &["--mode", "text-only", "--scale", "2"],
            "--scale does nothing here",
        ),
        (
            &["--mode", "adapter", "--concept-block", "x"],
            "--concept-block does nothing here",
        ),
        (&["--lora", "x.safetensors"], "cannot read x.safetensors"),
        (&["--identity", "elephant=x.npy"], "cannot read x.npy"),
        (&["--image-encoder", "a"], "--image-encoder needs --adapter"),
        (
            &["--lora", "x.safetensors:nan"],
            "the strength NaN is not finite",
        ),
        (
            &["--concept", "elephant=x.png:inf"],
            "the scale inf is not finite",
        ),
        (
            &["--model", "x.safetensors", "--prompt", "a"],
            "x.safetensors: there is no such file or folder",
        ),
        (
            &["--width", "8192", "--height", "8192", "--images", "64"],
            "lower width and height",
        ),
        (&["--warmup", "0.9", "--until", "1.5"], "between 0 and 1"),
        (&["--scheduler", "nonsense"], "unknown scheduler `nonsense`"),
        (&["--scheduler", "heum"], "did you mean `heun`?"),
        (
            &["--concept", "auto=x.png", "--prompt", "an apple and a car"],
            "whose phrases are `apple` (subject), `car` (subject): name one",
        ),
        (
            &["--concept", "auto=x.png", "--concept", "car=x.png"],
            "`auto` is for a single reference",
        ),
        (
            &[
                "--concept",
                "elephant=absent.png",
                "--prompt",
                "an elephant",
            ],
            "absent.png",
        ),
        (&["--out", "/dev/null/x"], "cannot write into"),
    ];
    for (arguments, wanted) in cases {
        let message = refused(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}

#[test]
fn what_is_no_model_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content, expected) in [
        (
            "model.safetensors",
            "x",
            "a text that begins \"x\", not weights",
        ),
        ("model.ckpt", "<html>", "a web page, not weights"),
        (
            "notes.md",
            "x",
            "neither a folder of diffusers nor a file of weights",
        ),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, content).expect("a file");
        let message = refused(&["--prompt", "a", "--model", &file.display().to_string()]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn numbers_that_overflow_are_errors_that_name_the_step() {
    for option in [["--scale", "3.4e38"], ["--guidance", "3e38"]] {
        let (output, folder) = run(&[option[0], option[1], "--steps", "3"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains("not finite after step") && message.contains("in f32"),
            "{message}"
        );
        assert!(!pictures(&folder).join("conceptrol.png").exists());
    }
}

#[test]
fn two_of_a_kind_have_an_occurrence_each() {
    let first = format!("elephant={}", reference());
    let second = format!("elephant#2={}", reference());
    let prompt = ["--prompt", "an elephant and an elephant", "--steps", "2"];
    let message = refused(&[&prompt[..], &["--concept", &first, "--concept", &first]].concat());
    assert!(
        message.contains("overlap") && message.contains("PHRASE#2"),
        "{message}"
    );
    let (output, _folder) =
        run(&[&prompt[..], &["--concept", &first, "--concept", &second]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn auto_says_which_phrase_it_takes() {
    let concept = format!("auto={}", reference());
    let prompt = format!("a cat on the grass{}", ", very (sharp:1.2)".repeat(30));
    let (output, folder) = run(&[
        "--steps",
        "2",
        "--scheduler",
        "heun",
        "--concept",
        &concept,
        "--prompt",
        &prompt,
        "--long-prompts",
        "--prompt-weights",
        "comfy",
    ]);
    let message = text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(
        message.contains("auto: the reference is of `cat`"),
        "{message}"
    );
    assert!(!message.contains("the text encoder sees"), "{message}");
    let parameters = parameters(&pictures(&folder).join("conceptrol.png"));
    for wanted in [
        "Concept: cat green_cat.png",
        "Long prompts: true, Prompt weights: Comfy",
        "Sampler: heun",
    ] {
        assert!(parameters.contains(wanted), "{wanted}: {parameters}");
    }

    let (output, _folder) = run(&["--steps", "1", "--concept", &concept, "--prompt", &prompt]);
    let message = text(&output.stderr);
    assert!(
        message.contains("hint: --long-prompts reads all of it"),
        "{message}"
    );
}

#[test]
fn pictures_carry_what_it_takes_to_make_them_again() {
    let (output, folder) = run(&[
        "--steps",
        "2",
        "--images",
        "2",
        "--until",
        "0.9",
        "--scheduler",
        "euler",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let [first, second] = ["conceptrol.png", "conceptrol_2.png"]
        .map(|name| parameters(&pictures(&folder).join(name)));
    for (text, seed) in [(&first, "Seed: 0"), (&second, "Seed: 1")] {
        for wanted in [
            seed,
            "Steps: 2, Sampler: euler",
            "Size: 64x64",
            "Window: 0.2 to 0.9",
            "Concept: elephant purple_elephant.png sha256:",
            "Method: conceptrol",
            "ip-adapter.safetensors",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

#[test]
fn a_drawn_mask_bounds_the_one_that_attention_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mask = |name: &str, values: fn(u32, u32) -> u8| {
        let path = folder.path().join(name);
        GrayImage::from_fn(64, 64, |x, y| Luma([values(x, y)]))
            .save(&path)
            .expect("a mask");
        format!("elephant={}", path.display())
    };
    let left = mask("left.png", |x, _| if x < 32 { 255 } else { 0 });
    let dark = mask("dark.png", |x, _| u8::from(x < 32));
    let concept = format!(
        "elephant={}",
        assets().join("references/purple_elephant.png").display()
    );
    let picture = |more: &[&str]| {
        let shared = [
            "--steps",
            "4",
            "--warmup",
            "0",
            "--mode",
            "conceptrol",
            "--concept",
            &concept,
        ];
        let prompt = ["--prompt", "an elephant and a car on the grass"];
        let (output, folder) = run(&[&shared[..], &prompt[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let picture = image::open(pictures(&folder).join("conceptrol.png")).expect("a picture");
        (picture.to_rgb8(), text(&output.stderr))
    };
    let block = "up_blocks.1.attentions.0.transformer_blocks.0.attn2";
    let other: Vec<RgbImage> = [
        vec![],
        vec!["--mask", &left],
        vec!["--mask", &left, "--concept-block", block],
        vec!["--mask", &left, "--mask-role", "instead"],
    ]
    .iter()
    .map(|more| picture(more).0)
    .collect();
    for (index, one) in other.iter().enumerate() {
        assert!(
            other[..index].iter().all(|before| before != one),
            "{index} is like one before"
        );
    }
    let (_, warning) = picture(&["--mask", &dark]);
    assert!(warning.contains("below 2/255"), "{warning}");
}

#[test]
fn nobody_has_to_read_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(program())
        .args(["--steps", "2"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    drop(child.stdout.take()); // as `| head -1` does, sooner
    assert!(child.wait().expect("ends").success());
    assert!(pictures(&folder).join("sheet.png").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_no_reason_to_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("a full device");
    let status = Command::new(program())
        .args(["--steps", "2"])
        .current_dir(&folder)
        .stdout(full)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("ends").success());
    assert!(pictures(&folder).join("sheet.png").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_stops_it_and_leaves_no_half_written_file() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program())
            .args(["--steps", "900", "--preview-every", "1", "--out", "."])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let begun = Instant::now();
        while !folder.path().join("preview_ip_adapter_002.png").exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it began");
            std::thread::sleep(Duration::from_millis(5));
        }
        let process = child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &process]).status();
        assert!(sent.expect("kill runs").success());
        assert_eq!(child.wait().expect("ends").code(), Some(130), "{signal}");
        let files = fs::read_dir(&folder).expect("a folder").flatten();
        let names: Vec<_> = files
            .map(|file| file.file_name().into_string().expect("UTF-8"))
            .collect();
        assert!(
            names.iter().all(|name| name.ends_with(".png")),
            "{signal}: {names:?}"
        );
    }
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let left = folder.path().join(".a1b2c3.999999999.png.part");
    fs::write(&left, "half a picture").expect("a file");
    let output = Command::new(program())
        .args(["--steps", "1", "--out", "."])
        .current_dir(&folder)
        .output()
        .expect("runs");
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("an earlier run had not finished"));
    assert!(!left.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn any_path_is_a_path() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let folder = tempfile::tempdir().expect("a folder");
    for name in [&b"cat:0.8"[..], b"caf\xff.png"] {
        let path = folder.path().join(OsString::from_vec(name.to_vec()));
        fs::copy(reference(), &path).expect("a copy");
        let mut concept = OsString::from("elephant=");
        concept.push(&path);
        let status = Command::new(program())
            .args(["--steps", "1", "--prompt", "an elephant", "--concept"])
            .arg(concept)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("ends").success(), "{path:?}");
    }
}

/// A scene of the evaluation: what it shows, and where its two objects are.
fn scene() -> [String; 2] {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/world/scenes");
    ["000.png", "000.0.png"].map(|name| scenes.join(name).display().to_string())
}

#[test]
fn what_is_wrong_with_a_picture_to_start_from_shows_before_the_first_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = folder.path().join("small.png");
    GrayImage::from_pixel(32, 64, Luma([255]))
        .save(&small)
        .expect("a mask");
    let (small, [init, mask]) = (small.display().to_string(), scene());
    let cases: [(&[&str], &str); 12] = [
        (&["--strength", "0.5"], "--init"),
        (&["--inpaint-mask", &mask], "--init"),
        (&["--inpaint-concept", "car"], "--init"),
        (&["--init", "absent.png"], "absent.png: "),
        (&["--init", &init, "--strength", "1.5"], "--strength"),
        (
            &["--init", &init, "--strength", "0.01", "--steps", "20"],
            "the strength is 0.01, it must be 0, or enough for one of 20 steps, from 0.05",
        ),
        (
            &["--init", &init, "--inpaint-mask", &small],
            "the size of the mask is width 32, height 64, it must be the picture's: width 64, height 64",
        ),
        (
            &[
                "--init",
                &init,
                "--inpaint-mask",
                &mask,
                "--inpaint-concept",
                "car",
            ],
            "cannot be used with",
        ),
        (
            &["--init", &init, "--inpaint-padding", "8"],
            "--inpaint-padding needs --inpaint-mask or --inpaint-concept",
        ),
        (&["--init", &init, "--inpaint-concept", "tree"], "tree"),
        (
            &[
                "--init",
                &init,
                "--inpaint-concept",
                "car",
                "--inpaint-threshold",
                "0",
            ],
            "the threshold of a region is 0",
        ),
        (
            &["--init", &init, "--inpaint-grow", "3"],
            "--inpaint-concept",
        ),
    ];
    for (arguments, wanted) in cases {
        let message = refused(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}

#[test]
fn a_picture_is_shown_before_and_after() {
    let [init, mask] = scene();
    let reference = format!("car={}", reference());
    let run_with = |more: &[&str]| {
        let shared = ["--init", &init, "--steps", "4", "--mode", "conceptrol"];
        let prompt = [
            "--prompt",
            "a car and an elephant on the beach",
            "--concept",
            &reference,
        ];
        let (output, folder) = run(&[&shared[..], &prompt, more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made = pictures(&folder);
        assert!(made.join("before_after.png").exists());
        let said = parameters(&made.join("conceptrol.png"));
        let picture = image::open(made.join("conceptrol.png")).expect("a picture");
        (picture.to_rgb8(), said)
    };
    let (all, said) = run_with(&["--strength", "0.5"]);
    assert!(said.contains("Init: 000.png sha256:"), "{said}");
    assert!(said.contains("Denoising strength: 0.5, "), "{said}");
    let (drawn, said) = run_with(&["--inpaint-mask", &mask]);
    assert!(
        said.contains("Denoising strength: 1, Repaint: 000.0.png sha256:"),
        "{said}"
    );
    let found = [
        "--inpaint-concept",
        "banana",
        "--inpaint-prompt",
        "a banana and an elephant on the beach",
    ];
    let (found, said) = run_with(&[&found[..], &["--inpaint-grow", "2"]].concat());
    let wanted =
        "Repaint: banana in \"a banana and an elephant on the beach\" threshold 0.4 grow 2";
    assert!(said.contains(wanted), "{said}");
    let (cut_out, said) = run_with(&["--inpaint-mask", &mask, "--inpaint-padding", "6"]);
    assert!(said.contains("Padding: 6"), "{said}");
    for (index, one) in [&all, &drawn, &found, &cut_out].into_iter().enumerate() {
        assert_eq!(one.dimensions(), (64, 64), "{index}");
    }
    assert!(all != drawn && drawn != found && drawn != cut_out);
    // what was not cut out is untouched
    let before = image::open(&init).expect("a scene").to_rgb8();
    let mask = image::open(&mask).expect("a mask").to_luma8();
    for (x, y, pixel) in before.enumerate_pixels() {
        let outside = mask.get_pixel(x, y).0[0] == 0;
        assert!(!outside || pixel == cut_out.get_pixel(x, y), "{x}, {y}");
    }
}
