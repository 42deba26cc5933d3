//! JSON lists and objects of which no more is read than a tokenizer has.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Entries a vocabulary and its merges may have; multilingual ones have 250 thousand.
const MOST: usize = 1 << 20;

/// The entries of a list.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

/// The pairs of an object, in the order of the file.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) Vec<(String, T)>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Entries(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData)).map(Self)
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        collect(|| list.next_element())
    }
}

struct Pairs<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Vec<(String, T)>, A::Error> {
        collect(|| object.next_entry())
    }
}

/// All that `next` gives, up to the limit.
fn collect<T, E: Error>(mut next: impl FnMut() -> Result<Option<T>, E>) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    while let Some(entry) = next()? {
        if all.len() == MOST {
            return Err(E::custom(format!("more than {MOST} entries")));
        }
        all.push(entry);
    }
    Ok(all)
}
