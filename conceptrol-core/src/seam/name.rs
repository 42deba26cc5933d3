//! Names as a reader of a message wants them.

use std::fmt;

/// Of a longer list of names a message gives these many.
const NAMES: usize = 4;

/// A list of names: all of a short one, the beginning and the number of a long one.
pub(crate) struct Enumeration<'a, S>(pub(crate) &'a [S]);

impl<S: AsRef<str>> fmt::Display for Enumeration<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names) = self;
        // "and 1 more" would be no shorter than the name
        let shown = if names.len() == NAMES + 1 {
            NAMES + 1
        } else {
            NAMES.min(names.len())
        };
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        f.write_str(&names[..shown].join(", "))?;
        match names.len() - shown {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The name of a type without the modules it is in: `Ema<Local>`.
pub(crate) fn type_name<T: ?Sized>() -> String {
    without_modules(std::any::type_name::<T>())
}

fn without_modules(name: &str) -> String {
    // `a::b::C<d::E>` is cut into `a:`, `:`, `b:`, `:`, `C<`, `d:`, `:`, `E>`
    let in_word = |c: char| c.is_alphanumeric() || "_{}".contains(c);
    name.split_inclusive(|c| !in_word(c))
        .filter(|part| !part.ends_with(':'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::without_modules;

    #[test]
    fn modules_go_at_every_level() {
        for (name, short) in [
            ("Plain", "Plain"),
            ("a::b::Sharpen", "Sharpen"),
            (
                "core::mask::Product<a::Left_1, alloc::sync::Arc<dyn core::Source>>",
                "Product<Left_1, Arc<dyn Source>>",
            ),
            ("a::main::{{closure}}", "{{closure}}"),
            ("&a::B", "&B"),
        ] {
            assert_eq!(without_modules(name), short);
        }
    }
}
