//! One plan, several threads.

use conceptrol_core::{
    BatchLayout, ConditionSchedule, StepWindow,
    mask::{Ema, Product, Random},
};

use crate::{block, cat, plan_of, run};

#[test]
fn sessions_of_two_threads_over_one_plan_do_not_see_each_other() {
    // every source that remembers something
    let source = Product(Ema::new(block(), 0.5).expect("in range"), Random::new(1));
    let plan = plan_of(source);
    let jobs: Vec<_> = (1..=4)
        .map(|i| {
            let strength = ConditionSchedule::new(0.25 * i as f32, StepWindow::ALWAYS);
            (BatchLayout::guided(i), vec![cat(); i % 2 + 1], strength)
        })
        .collect();
    let do_all = || -> Vec<Vec<Vec<f32>>> {
        let one = |(batch, concepts, strength): &(BatchLayout, Vec<_>, _)| {
            run(&plan, *batch, concepts.clone(), *strength)
        };
        jobs.iter().map(one).collect()
    };
    let alone = do_all();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..8).map(|_| do_all()).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(together.len(), 16);
    for results in together {
        assert_eq!(results, alone, "bit for bit");
    }
}
