//! Every form against its definition, element by element.

use burn::tensor::{Device, FloatDType};

use crate::file::{Stored, assert_close, delta, dense, host, lora, numbers, values};

const CONV: &str = "conv"; // [4, 6, 3, 3]
const LINEAR: &str = "block_a.to_out.0"; // [6, 4]

fn tensors(module: &str, parts: &[(&str, &[usize])]) -> Vec<Stored> {
    let part = |(ending, shape): &(&str, &[usize])| numbers(format!("{module}.{ending}"), shape);
    parts.iter().map(part).collect()
}

/// The values of a stored tensor by its ending.
fn part<'t>(tensors: &'t [Stored], ending: &str) -> (Vec<f32>, &'t [usize]) {
    let found = tensors.iter().find(|stored| stored.0.ends_with(ending));
    let stored = found.expect("a tensor");
    (host(stored), &stored.2)
}

/// `[o, i * cells]` of a core `[p, q, cells]`, `a` `[p, o]` and `b` `[q, i]`.
fn tucker(
    core: &(Vec<f32>, &[usize]),
    a: &(Vec<f32>, &[usize]),
    b: &(Vec<f32>, &[usize]),
) -> Vec<f32> {
    let ([p, q, ..], [_, out], [_, inputs]) = (core.1, a.1, b.1) else {
        panic!("shapes");
    };
    let cells = core.0.len() / p / q;
    let mut whole = vec![0.0; out * inputs * cells];
    for (o, i, k) in indices(*out, *inputs, cells) {
        for x in 0..*p {
            for y in 0..*q {
                whole[(o * inputs + i) * cells + k] +=
                    a.0[x * out + o] * core.0[(x * q + y) * cells + k] * b.0[y * inputs + i];
            }
        }
    }
    whole
}

fn indices(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |index| (index / c / b, index / c % b, index % c))
}

fn product(a: &[f32], b: &[f32], rank: usize) -> Vec<f32> {
    let (rows, columns) = (a.len() / rank, b.len() / rank);
    let value = |index: usize| {
        let terms =
            (0..rank).map(|r| a[index / columns * rank + r] * b[r * columns + index % columns]);
        terms.sum()
    };
    (0..rows * columns).map(value).collect()
}

/// The change kept apart, multiplied out.
fn apart(file: &conceptrol_core::models::lora::LoraFile, module: &str) -> Vec<f32> {
    let low_rank = delta(file, module)
        .apart(&Device::flex(), FloatDType::F32)
        .expect("readable");
    values(match low_rank.down {
        Some(down) => low_rank.up.matmul(down),
        None => low_rank.up,
    })
}

fn check(module: &str, tensors: &[Stored], expected: &[f32], what: &str) {
    let file = lora(tensors).expect("an adapter");
    assert_close(&dense(&file, module), expected, what);
    assert_close(&apart(&file, module), expected, &format!("{what} apart"));
}

#[test]
fn convolutions_of_lora() {
    let plain = tensors(
        CONV,
        &[
            ("lora_down.weight", &[2, 6, 3, 3]),
            ("lora_up.weight", &[4, 2, 1, 1]),
        ],
    );
    let (down, up) = (part(&plain, "down.weight").0, part(&plain, "up.weight").0);
    check(CONV, &plain, &product(&up, &down, 2), "plain");

    let mid = tensors(
        CONV,
        &[
            ("lora_down.weight", &[3, 6, 1, 1]),
            ("lora_mid.weight", &[2, 3, 3, 3]),
            ("lora_up.weight", &[4, 2, 1, 1]),
        ],
    );
    let (up, _) = part(&mid, "up.weight");
    let transposed: Vec<f32> = (0..8).map(|i| up[i % 4 * 2 + i / 4]).collect();
    let (down, _) = part(&mid, "down.weight");
    let expected = tucker(
        &part(&mid, "mid.weight"),
        &(transposed, &[2, 4]),
        &(down, &[3, 6]),
    );
    check(CONV, &mid, &expected, "with a core");
}

#[test]
fn hadamard_products_of_loha() {
    let plain = tensors(
        LINEAR,
        &[
            ("hada_w1_a", &[6, 2]),
            ("hada_w1_b", &[2, 4]),
            ("hada_w2_a", &[6, 3]),
            ("hada_w2_b", &[3, 4]),
        ],
    );
    let one = product(&part(&plain, "w1_a").0, &part(&plain, "w1_b").0, 2);
    let other = product(&part(&plain, "w2_a").0, &part(&plain, "w2_b").0, 3);
    let expected: Vec<f32> = one.iter().zip(&other).map(|(a, b)| a * b).collect();
    check(LINEAR, &plain, &expected, "plain");

    let cores = tensors(
        CONV,
        &[
            ("hada_t1", &[2, 2, 3, 3]),
            ("hada_w1_a", &[2, 4]),
            ("hada_w1_b", &[2, 6]),
            ("hada_t2", &[3, 3, 3, 3]),
            ("hada_w2_a", &[3, 4]),
            ("hada_w2_b", &[3, 6]),
        ],
    );
    let one = tucker(
        &part(&cores, "t1"),
        &part(&cores, "w1_a"),
        &part(&cores, "w1_b"),
    );
    let other = tucker(
        &part(&cores, "t2"),
        &part(&cores, "w2_a"),
        &part(&cores, "w2_b"),
    );
    let expected: Vec<f32> = one.iter().zip(&other).map(|(a, b)| a * b).collect();
    check(CONV, &cores, &expected, "with cores");
}

#[test]
fn kronecker_products_of_lokr() {
    let kron = |one: &[f32],
                [out_1, in_1]: [usize; 2],
                other: &[f32],
                [out_2, in_2]: [usize; 2],
                cells: usize| {
        let inputs = in_1 * in_2;
        let mut whole = vec![0.0; out_1 * out_2 * inputs * cells];
        for (o, i, k) in indices(out_1 * out_2, inputs, cells) {
            let (a, b) = (
                one[o / out_2 * in_1 + i / in_2],
                other[(o % out_2 * in_2 + i % in_2) * cells + k],
            );
            whole[(o * inputs + i) * cells + k] = a * b;
        }
        whole
    };
    let whole = tensors(LINEAR, &[("lokr_w1", &[2, 2]), ("lokr_w2", &[3, 2])]);
    let expected = kron(
        &part(&whole, "w1").0,
        [2, 2],
        &part(&whole, "w2").0,
        [3, 2],
        1,
    );
    check(LINEAR, &whole, &expected, "both whole");

    let split = tensors(
        CONV,
        &[
            ("lokr_w1_a", &[2, 1]),
            ("lokr_w1_b", &[1, 2]),
            ("lokr_w2_a", &[2, 1]),
            ("lokr_w2_b", &[1, 27]),
        ],
    );
    let one = product(&part(&split, "w1_a").0, &part(&split, "w1_b").0, 1);
    let other = product(&part(&split, "w2_a").0, &part(&split, "w2_b").0, 1);
    check(
        CONV,
        &split,
        &kron(&one, [2, 2], &other, [2, 3], 9),
        "both split",
    );

    let core = tensors(
        CONV,
        &[
            ("lokr_w1", &[2, 2]),
            ("lokr_t2", &[2, 2, 3, 3]),
            ("lokr_w2_a", &[2, 2]),
            ("lokr_w2_b", &[2, 3]),
        ],
    );
    let other = tucker(
        &part(&core, "t2"),
        &part(&core, "w2_a"),
        &part(&core, "w2_b"),
    );
    check(
        CONV,
        &core,
        &kron(&part(&core, "w1").0, [2, 2], &other, [2, 3], 9),
        "with a core",
    );
}
