//! Times every operation, or, with `--serve`, those a peer asks for, so that the two sides can take turns.
//!
//! `cargo bench -p conceptrol-benches --bench operations [-- FILTER]`

use std::io::{BufRead, Write};

use burn::tensor::{Device, Tensor};
use conceptrol_benches::{Peak, Times, operations, processor_time};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let device = Device::flex();
    if arguments.iter().any(|argument| argument == "--serve") {
        return serve(&device);
    }
    let filter = arguments.join(" ");
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>8}",
        "operation", "best ms", "median", "spread", "GFLOP/s", "added MB"
    );
    for operation in operations()
        .iter()
        .filter(|operation| operation.name.contains(&filter))
    {
        let run = operation.prepare(&device);
        let peak = Peak::start();
        let times = Times::of(7, &run);
        let added = peak
            .added()
            .map_or("-".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        let speed = if operation.flops > 0.0 {
            format!("{:.0}", operation.flops / times.best() / 1e6)
        } else {
            "-".into()
        };
        let (best, median, spread) = (times.best(), times.median(), 100.0 * times.spread());
        println!(
            "{:<46} {best:>9.2} {median:>9.2} {spread:>6.0}% {speed:>8} {added:>8}",
            operation.name
        );
    }
    Ok(())
}

/// Answers each line `REPEATS NAME` with `BEST CPU MEAN`: milliseconds on the wall and of processor time, and
/// the mean absolute output for comparison.
fn serve(device: &Device) -> std::io::Result<()> {
    let all = operations();
    // The one asked for last stays prepared: rounds of the same operation take turns with the peer.
    let mut prepared: Option<(String, Box<dyn Fn() -> Tensor<1>>)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = line.split_once(' ').and_then(|(repeats, name)| {
            let repeats = repeats.parse().ok().filter(|repeats| *repeats > 0)?;
            if prepared.as_ref().is_none_or(|(last, _)| last != name) {
                prepared = None; // its inputs go first
                let operation = all.iter().find(|operation| operation.name == name)?;
                prepared = Some((name.into(), Box::new(operation.prepare(device))));
            }
            answer(&prepared.as_ref()?.1, repeats)
        });
        println!(
            "{}",
            answer.unwrap_or_else(|| format!("unknown request: {line}"))
        );
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(run: &dyn Fn() -> Tensor<1>, repeats: usize) -> Option<String> {
    let times = Times::of(repeats, run);
    let output = run().into_data().try_to_vec::<f32>().ok()?;
    let mean = output.iter().map(|x| f64::from(x.abs())).sum::<f64>() / output.len() as f64;
    let processor = processor_time(repeats, run).unwrap_or(f64::NAN);
    Some(format!("{} {processor} {mean}", times.best()))
}
