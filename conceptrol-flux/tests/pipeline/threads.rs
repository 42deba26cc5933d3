//! One pipeline serves several threads at once.

use std::{sync::Barrier, thread};

use conceptrol_core::pipeline::{Mode, Residency};

use crate::tiny::{open, options, pictures, request};

#[test]
fn two_requests_at_once_are_as_one_after_the_other() {
    for residency in [Residency::Memory, Residency::WhileUsed, Residency::Disk] {
        let requests = [
            request().seed(7),
            request().mode(Mode::Adapter).images_per_prompt(2),
            request().mode(Mode::TextOnly).steps(3),
        ];
        let flux = open(options().residency(residency));
        let start = Barrier::new(requests.len());
        // the first use of every part: it is loaded while others ask for it
        let together = thread::scope(|scope| {
            let run = |request| {
                let (flux, start) = (&flux, &start);
                scope.spawn(move || {
                    start.wait();
                    pictures(flux, request)
                })
            };
            let running: Vec<_> = requests.iter().map(run).collect();
            let finished = running
                .into_iter()
                .map(|thread| thread.join().expect("pictures"));
            finished.collect::<Vec<_>>()
        });
        for (request, together) in requests.iter().zip(&together) {
            assert!(pictures(&flux, request) == *together, "{residency:?}");
        }
    }
}
