//! A long day: memory stays where it is.

use crate::studio::Studio;

/// Resident bytes of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a number");
    kilobytes / 1024.0
}

/// 100 generations of two pictures each, and 20 jobs whose pages go. Prints the memory; looks at nothing else.
#[test]
#[ignore = "takes minutes"]
fn memory_stays_flat() {
    // so little that it is full at the start: what is kept is bounded, and is not what is looked for
    let mut studio = Studio::idle(&["--keep", "1"]);
    studio.work();
    let generate = |seed| {
        let done = studio.carry_out(&studio.small(4, seed));
        assert_eq!(done["state"], "done", "{done}");
    };
    let cancel = |seed| {
        let mut job = studio
            .order(&studio.small(200, seed))
            .into_body()
            .into_data_stream();
        studio.until(&mut job, |line| {
            line["state"] == "denoising" && line["done"] != 0
        });
    };
    (0..40).for_each(generate);
    println!("start                        {:8.1} MiB", resident());
    (100..150).for_each(generate);
    println!("after 50 generations         {:8.1} MiB", resident());
    (200..210).for_each(cancel);
    println!("after 10 cancelled jobs      {:8.1} MiB", resident());
    (150..200).for_each(generate);
    println!("after 100 generations        {:8.1} MiB", resident());
    (210..220).for_each(cancel);
    generate(1000);
    println!("after 20 cancelled jobs      {:8.1} MiB", resident());
}
