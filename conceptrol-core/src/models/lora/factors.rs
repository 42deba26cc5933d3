//! The algebra of low-rank adapters: what the stored matrices of a layer make of a weight.

use burn::tensor::{Device, Tensor};

use super::ending::Role;
use super::file::Tensors;
use crate::models::weights::{Checkpoint, WeightError};

/// How the stored tensors of a layer give the change of its weight, `[out, in * kernel]`.
///
/// # Source
///
/// `LoRA`: arXiv 2106.09685. `LoHa`: `FedPara`, arXiv 2108.06098. `LoKr`, Tucker forms: `LyCORIS`, arXiv 2309.14859.
#[derive(Debug, Clone)]
pub(super) enum Factors {
    /// `LoRA`.
    Product(Product),
    /// `LoHa`: element by element.
    Hadamard([Product; 2]),
    /// `LoKr`: the Kronecker product.
    Kronecker([Product; 2]),
}

/// A matrix `[out, in * kernel]`, whole or as a product. Names are those of stored tensors.
#[derive(Debug, Clone)]
pub(super) enum Product {
    Whole(String),
    /// `a b`, with `a` `[out, rank]` and `b` `[rank, in * kernel]`
    Split {
        a: String,
        b: String,
    },
    /// `sum over p and q of a[out, p] core[p, q, kernel] b[q, in]`
    Tucker {
        core: String,
        a: String,
        b: String,
        /// `a` is stored `[rank, out]`, as `LyCORIS` does.
        transposed: bool,
    },
}

impl Factors {
    /// The form that a layer's tensors have; what it lacks otherwise, as files name it.
    pub(super) fn of(tensors: &Tensors) -> Result<Self, &'static str> {
        use Role::{
            Difference, Down, Hada1A, Hada1B, Hada1Core, Hada2A, Hada2B, Hada2Core, Kron1, Kron1A,
            Kron1B, Kron2, Kron2A, Kron2B, Kron2Core, Mid, Up,
        };
        let has = |role: Role| tensors.get(&role).cloned();
        let need = |role: Role, name| has(role).ok_or(name);
        let split_or_tucker = |[a, b]: [(Role, &'static str); 2],
                               core: Option<Role>|
         -> Result<Product, &'static str> {
            let (a, b) = (need(a.0, a.1)?, need(b.0, b.1)?);
            Ok(match core.and_then(has) {
                None => Product::Split { a, b },
                Some(core) => Product::Tucker {
                    core,
                    a,
                    b,
                    transposed: true,
                },
            })
        };
        let any = |roles: &[Role]| roles.iter().any(|role| tensors.contains_key(role));
        let kinds = [
            any(&[Down, Up, Mid]),
            any(&[Hada1A, Hada1B, Hada2A, Hada2B, Hada1Core, Hada2Core]),
            any(&[Kron1, Kron1A, Kron1B, Kron2, Kron2A, Kron2B, Kron2Core]),
            any(&[Difference]),
        ];
        Ok(match kinds {
            [true, false, false, false] => {
                let (a, b) = (need(Up, "up")?, need(Down, "down")?);
                Self::Product(match has(Mid) {
                    None => Product::Split { a, b },
                    Some(core) => Product::Tucker {
                        core,
                        a,
                        b,
                        transposed: false,
                    },
                })
            }
            [false, true, false, false] => Self::Hadamard([
                split_or_tucker([(Hada1A, "w1_a"), (Hada1B, "w1_b")], Some(Hada1Core))?,
                split_or_tucker([(Hada2A, "w2_a"), (Hada2B, "w2_b")], Some(Hada2Core))?,
            ]),
            [false, false, true, false] => Self::Kronecker([
                match has(Kron1) {
                    Some(whole) => Product::Whole(whole),
                    None => split_or_tucker([(Kron1A, "w1_a"), (Kron1B, "w1_b")], None)?,
                },
                match has(Kron2) {
                    Some(whole) => Product::Whole(whole),
                    None => split_or_tucker([(Kron2A, "w2_a"), (Kron2B, "w2_b")], Some(Kron2Core))?,
                },
            ]),
            [false, false, false, true] => Self::Product(Product::Whole(need(Difference, "diff")?)),
            [false, false, false, false] => return Err("factors"),
            _ => return Err("one kind of factors: it has those of several"),
        })
    }

    /// What people call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Product(Product::Whole(_)) => "difference",
            Self::Product(_) => "LoRA",
            Self::Hadamard(_) => "LoHa",
            Self::Kronecker(_) => "LoKr",
        }
    }

    /// Outputs, and inputs times kernel cells; nothing if the tensors do not fit each other. `kernel` is the number of cells
    /// of the layer's kernel.
    pub(super) fn dims(&self, file: &Checkpoint, kernel: usize) -> Option<[usize; 2]> {
        match self {
            Self::Product(product) => product.dims(file),
            Self::Hadamard([one, other]) => {
                let dims = one.dims(file)?;
                (other.dims(file)? == dims).then_some(dims)
            }
            Self::Kronecker([one, other]) => {
                let ([out_1, in_1], [out_2, in_2]) = (one.dims(file)?, other.dims(file)?);
                let dims = [out_1.checked_mul(out_2)?, in_1.checked_mul(in_2)?];
                in_2.is_multiple_of(kernel).then_some(dims)
            }
        }
    }

    /// The rank that a strength is divided by; nothing where strengths do not count.
    pub(super) fn rank(&self, file: &Checkpoint) -> Option<usize> {
        match self {
            Self::Product(product) | Self::Hadamard([product, _]) => product.rank(file),
            Self::Kronecker([one, other]) => other.rank(file).or_else(|| one.rank(file)),
        }
    }

    /// The change in f32, `[out, in * kernel]`.
    pub(super) fn dense(
        &self,
        file: &Checkpoint,
        device: &Device,
    ) -> Result<Tensor<2>, WeightError> {
        match self {
            Self::Product(product) => product.matrix(file, device),
            Self::Hadamard([one, other]) => {
                Ok(one.matrix(file, device)? * other.matrix(file, device)?)
            }
            Self::Kronecker([one, other]) => {
                let (one, other) = (one.matrix(file, device)?, other.matrix(file, device)?);
                Ok(kronecker(one, other))
            }
        }
    }

    /// The rank of the change as a [pair](Self::pair), where it is one.
    pub(super) fn pair_rank(&self, file: &Checkpoint) -> Option<usize> {
        let split = |product: &Product| match product {
            Product::Split { .. } => product.rank(file),
            Product::Whole(_) | Product::Tucker { .. } => None,
        };
        match self {
            Self::Product(product) => split(product),
            Self::Hadamard([one, other]) | Self::Kronecker([one, other]) => {
                split(one)?.checked_mul(split(other)?)
            }
        }
    }

    /// The same as a product of two small matrices, `[out, rank]` and `[rank, in * kernel]`, where it is one.
    pub(super) fn pair(
        &self,
        file: &Checkpoint,
        device: &Device,
    ) -> Result<Option<[Tensor<2>; 2]>, WeightError> {
        match self {
            Self::Product(product) => product.pair(file, device),
            Self::Hadamard([one, other]) => {
                let pairs = (one.pair(file, device)?, other.pair(file, device)?);
                let (Some([a_1, b_1]), Some([a_2, b_2])) = pairs else {
                    return Ok(None);
                };
                // each pair of ranks is a rank of the product
                let ([out, rank_1], [_, inputs]) = (a_1.dims(), b_1.dims());
                let rank_2 = a_2.dims()[1];
                let a = a_1.reshape([out, rank_1, 1]) * a_2.reshape([out, 1, rank_2]);
                let b = b_1.reshape([rank_1, 1, inputs]) * b_2.reshape([1, rank_2, inputs]);
                let rank = rank_1 * rank_2;
                Ok(Some([a.reshape([out, rank]), b.reshape([rank, inputs])]))
            }
            Self::Kronecker([one, other]) => {
                let pairs = (one.pair(file, device)?, other.pair(file, device)?);
                let (Some([a_1, b_1]), Some([a_2, b_2])) = pairs else {
                    return Ok(None);
                };
                Ok(Some([kronecker(a_1, a_2), kronecker(b_1, b_2)]))
            }
        }
    }
}

impl Product {
    fn dims(&self, file: &Checkpoint) -> Option<[usize; 2]> {
        let matrix = |name: &str| match file.get(name)? {
            (dtype, [rows, columns @ ..]) if dtype.is_float() && !columns.is_empty() => {
                Some([*rows, product(columns)?])
            }
            _ => None,
        };
        match self {
            Self::Whole(name) => matrix(name),
            Self::Split { a, b } => {
                let ([out, rank], [again, inputs]) = (matrix(a)?, matrix(b)?);
                (rank == again && rank > 0).then_some([out, inputs])
            }
            Self::Tucker {
                core,
                a,
                b,
                transposed,
            } => {
                let [p, q, cells] = core_dims(file, core)?;
                let [out, p_again] = match (matrix(a)?, transposed) {
                    ([p, out], true) => [out, p],
                    (stored, false) => stored,
                };
                let [q_again, inputs] = matrix(b)?;
                (p == p_again && q == q_again && p > 0 && q > 0)
                    .then_some([out, inputs.checked_mul(cells)?])
            }
        }
    }

    fn rank(&self, file: &Checkpoint) -> Option<usize> {
        match self {
            Self::Whole(_) => None,
            Self::Split { b, .. } | Self::Tucker { b, .. } => file.get(b)?.1.first().copied(),
        }
    }

    fn matrix(&self, file: &Checkpoint, device: &Device) -> Result<Tensor<2>, WeightError> {
        let load = |name: &str| load(file, name, device);
        Ok(match self {
            Self::Whole(name) => load(name)?,
            Self::Split { a, b } => load(a)?.matmul(load(b)?),
            Self::Tucker {
                core,
                a,
                b,
                transposed,
            } => {
                let a = load(a)?;
                let a = if *transposed { a.transpose() } else { a }; // [out, p]
                let ([out, _], [q, inputs]) = (a.dims(), load(b)?.dims());
                let mixed = a.matmul(load(core)?); // [out, q * cells]
                let cells = mixed.dims()[1] / q;
                let mixed = mixed.reshape([out, q, cells]).swap_dims(1, 2);
                let all = mixed.reshape([out * cells, q]).matmul(load(b)?);
                let all = all.reshape([out, cells, inputs]).swap_dims(1, 2);
                all.reshape([out, inputs * cells])
            }
        })
    }

    fn pair(
        &self,
        file: &Checkpoint,
        device: &Device,
    ) -> Result<Option<[Tensor<2>; 2]>, WeightError> {
        match self {
            Self::Split { a, b } => Ok(Some([load(file, a, device)?, load(file, b, device)?])),
            Self::Whole(_) | Self::Tucker { .. } => Ok(None),
        }
    }
}

/// The number of elements of some axes, which a file may claim to be any.
fn product(axes: &[usize]) -> Option<usize> {
    axes.iter()
        .try_fold(1_usize, |all, axis| all.checked_mul(*axis))
}

/// Both ranks and the number of cells of a Tucker core.
fn core_dims(file: &Checkpoint, name: &str) -> Option<[usize; 3]> {
    match file.get(name)? {
        (dtype, [p, q, cells @ ..]) if dtype.is_float() => Some([*p, *q, product(cells)?]),
        _ => None,
    }
}

/// `[out_1 * out_2, in_1 * in_2]` of `[out_1, in_1]` and `[out_2, in_2]`. The cells of a kernel are the innermost part of
/// the second factor's columns, and stay the innermost of the product's.
fn kronecker(one: Tensor<2>, other: Tensor<2>) -> Tensor<2> {
    let ([out_1, in_1], [out_2, in_2]) = (one.dims(), other.dims());
    let product = one.reshape([out_1, 1, in_1, 1]) * other.reshape([1, out_2, 1, in_2]);
    product.reshape([out_1 * out_2, in_1 * in_2])
}

/// A tensor whose name and type were checked.
fn load(file: &Checkpoint, name: &str, device: &Device) -> Result<Tensor<2>, WeightError> {
    let loaded = file.load_matrix(name, device)?;
    Ok(loaded.expect("named by a layer whose tensors were checked"))
}
