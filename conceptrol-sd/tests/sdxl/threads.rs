//! One pipeline serves several threads at once.

use std::{sync::Barrier, thread};

use conceptrol_core::pipeline::{Mode, Residency};

use crate::{
    batch::pictures,
    tiny::{open, options, request},
};

#[test]
fn three_requests_at_once_are_as_one_after_the_other() {
    for residency in [Residency::Memory, Residency::WhileUsed] {
        let pipeline = open(2, options().residency(residency));
        let mut second_adapter = request(&["statue", "the book"]).seed(9);
        second_adapter.concepts[1].adapter = 1;
        let requests = [
            request(&["statue"]).images_per_prompt(2),
            second_adapter,
            request(&["the book"]).mode(Mode::Adapter).steps(3),
        ];
        let start = Barrier::new(requests.len());
        // the first use of every part: it is loaded while others ask for it
        let together = thread::scope(|scope| {
            let (pipeline, start) = (&pipeline, &start);
            let running = requests.each_ref().map(|request| {
                scope.spawn(move || {
                    start.wait();
                    pictures(pipeline, request)
                })
            });
            running.map(|thread| thread.join().expect("pictures"))
        });
        for (request, together) in requests.iter().zip(&together) {
            assert!(pictures(&pipeline, request) == *together, "{residency:?}");
        }
    }
}
