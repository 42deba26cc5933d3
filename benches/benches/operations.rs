//! Times every operation, or, with `--serve`, those a peer asks for, so that the two sides can take turns.
//!
//! `cargo bench -p conceptrol-benches --bench operations [-- FILTER]`

use std::{
    io::{BufRead, Write},
    process::ExitCode,
};

use burn::tensor::{FloatDType, Tensor};
use clap::Parser;
use conceptrol_benches::{
    Failure, Place, Times,
    harness::{Bench, Common, Way, run},
    operations, processor_time, small_operations,
};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only operations whose name contains this.
    #[arg(default_value = "")]
    filter: Vec<String>,
    /// Answer a peer.
    #[arg(long)]
    serve: bool,
}

fn main() -> ExitCode {
    run("operations", |of: &Arguments| &of.common, measure)
}

fn measure(arguments: &Arguments, bench: &mut Bench) -> Result<(), Failure> {
    if arguments.serve {
        return Ok(serve(&bench.place())?);
    }
    let filter = arguments.filter.join(" ");
    let all = match arguments.common.small {
        true => small_operations(),
        false => operations(),
    };
    bench.heading();
    println!("{}", Bench::HEADER);
    for operation in all.iter().filter(|one| one.name.contains(&filter)) {
        let work = operation.prepare(bench.place());
        let way = Way::new(&operation.name, || Ok(work())).flops(operation.flops);
        bench.single(7, way)?;
    }
    Ok(())
}

/// Answers each line `REPEATS NAME` with `BEST CPU MEAN`: milliseconds on the wall and of processor time, and
/// the mean absolute output for comparison.
fn serve(place: &Place) -> std::io::Result<()> {
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
                prepared = Some((name.into(), operation.prepare(place)));
            }
            answer(place, &prepared.as_ref()?.1, repeats)
        });
        println!(
            "{}",
            answer.unwrap_or_else(|| format!("unknown request: {line}"))
        );
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(place: &Place, run: &dyn Fn() -> Tensor<1>, repeats: usize) -> Option<String> {
    let run = || {
        let output = run();
        place.device.sync().map(|()| output)
    };
    let times = Times::of(repeats, run);
    let output = run().ok()?.cast(FloatDType::F32).into_data();
    let output = output.try_to_vec::<f32>().ok()?;
    let mean = output.iter().map(|x| f64::from(x.abs())).sum::<f64>() / output.len() as f64;
    let processor = processor_time(repeats, run).unwrap_or(f64::NAN);
    Some(format!("{} {processor} {mean}", times.best()))
}
