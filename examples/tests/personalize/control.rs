//! Control pictures and edits on the command line.

use std::{fs, path::Path};

use burn::tensor::Device;
use conceptrol_benches::write_random;
use conceptrol_core::models::weights::Weights;
use conceptrol_sd::{config::ControlNetConfig, controlnet::ControlNetModel};

use crate::{assets, parameters, pictures, reference, refused, run, text};

/// A net of random weights for the embedded model.
fn net(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let unet = fs::read_to_string(assets().join("unet/config.json")).expect("a file");
    // its autoencoder quarters the sides
    let class = r#""UNet2DConditionModel""#;
    let own = r#""ControlNetModel", "conditioning_embedding_out_channels": [4, 8, 12]"#;
    let config = unet.replace(class, own);
    fs::write(folder.join("config.json"), &config).expect("written");
    let config = ControlNetConfig::from_json(&config).expect("a valid configuration");
    let names = Weights::names(&Device::flex());
    let _ = ControlNetModel::new(&config, &names);
    let weights = folder.join("diffusion_pytorch_model.safetensors");
    write_random(&weights, &names.finish().expect("names")).expect("written");
}

#[test]
fn a_control_picture_acts_and_is_shown() {
    let nets = tempfile::tempdir().expect("a folder");
    let net_at = nets.path().join("edges");
    net(&net_at);
    let control = format!("{}={}:0.5", net_at.display(), reference());
    let common = ["--mode", "adapter", "--steps", "2"];
    let with = |more: &[&str]| {
        let (output, folder) = run(&[&common, more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let result = pictures(&folder).join("ip_adapter.png");
        (
            image::open(&result).expect("a picture"),
            parameters(&result),
            folder,
        )
    };
    let (without, ..) = with(&[]);
    let (acts, said, folder) = with(&[
        "--control",
        &control,
        "--control-gate",
        "not:car",
        "--control-window",
        "0,1",
        "--width",
        "64",
        "--height",
        "64",
    ]);
    assert_ne!(acts, without);
    for part in ["Control: ", "edges", "scale 0.5", "Control gate: not:car"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(pictures(&folder).join("control.png").exists());
    let (never, ..) = with(&[
        "--control",
        &control,
        "--control-window",
        "0,0",
        "--width",
        "64",
        "--height",
        "64",
    ]);
    assert_eq!(never, without);
}

#[test]
fn what_is_wrong_with_a_control_shows_before_the_first_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let net_at = folder.path().join("net");
    net(&net_at);
    let (net_at, reference) = (net_at.display().to_string(), reference());
    let control = |picture: &str| format!("{net_at}={picture}");
    let (good, absent) = (control(&reference), control("absent.png"));
    let no_net = format!("absent={reference}");
    let reference_only = format!("reference-only={reference}");
    let cases: [(&[&str], &str); 9] = [
        (&["--control", &absent], "absent.png"),
        (&["--control", &no_net], "absent"),
        (&["--control", &reference_only], "reference-only control"),
        (&["--control", "net"], "expected NET=FILE"),
        (&["--control-gate", "cat"], "--control"),
        (&["--control", &good, "--control-gate", "zebra"], "zebra"),
        (
            &[
                "--control",
                &good,
                "--control-window",
                "0,1",
                "--control-window",
                "0,1",
            ],
            "given 2 times for 1 controls",
        ),
        (&["--edit", &reference], "no channels for a picture to edit"),
        (&["--image-guidance", "2"], "--edit"),
    ];
    for (arguments, wanted) in cases {
        let message = refused(arguments);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}
