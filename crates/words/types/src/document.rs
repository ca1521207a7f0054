//! Reading JSON objects field by field, by tables.
//!
//! What serde derives for reading is many times the size: code for every structure, which can read sequences and
//! numbered fields too and keeps every field aside. The runtime, which parses such documents at every start, is to
//! be small: here a structure only says where a field of a name is kept, and one piece of code ([`read`]) fills all of
//! them. A field whose value is `null`, or that is not there, has its default; an unknown one is skipped; of one that is
//! there twice the last counts.

mod reader;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use reader::{Malformed, from_json, read};

/// A structure whose fields are found by name.
pub trait Document {
    /// Where a field is kept; `None` if there is no such field.
    fn field(&mut self, name: &str) -> Option<Slot<'_>>;
}

/// One of several, told by its name: `"name"`, or `{"name": what it holds}`.
pub trait Choice {
    /// Becomes that one, and says where what it holds is kept: [`Slot::Nothing`] if it holds nothing. `None` if there is
    /// no such one.
    fn choose(&mut self, name: &str) -> Option<Slot<'_>>;
}

/// Where a value is kept.
pub enum Slot<'a> {
    /// A text.
    Text(&'a mut dyn TextField),
    /// A yes or no.
    Flag(&'a mut dyn FlagField),
    /// A whole number.
    Number(&'a mut dyn NumberField),
    /// A structure.
    Document(&'a mut dyn Document),
    /// One of several.
    Choice(&'a mut dyn Choice),
    /// What may be missing, a list or a map.
    Many(&'a mut dyn Many),
    /// There is nothing to be kept.
    Nothing,
    /// It is not kept, whatever it is.
    Ignored,
}

/// A text, or what is made of one.
pub trait TextField {
    /// Sets it.
    fn set(&mut self, value: String);
}

/// A yes or no that may be missing.
pub trait FlagField {
    /// Sets it.
    fn set(&mut self, value: bool);
}

/// A whole number of any width that may be missing.
pub trait NumberField {
    /// Sets it; false if the value does not fit.
    fn set(&mut self, value: i128) -> bool;
}

/// Values that are made as they are read.
pub trait Many {
    /// What it is: a map by name, a list, or one.
    fn shape(&self) -> Shape;
    /// Forgets all.
    fn clear(&mut self);
    /// Makes another one (of a map, of this name) and says where it is kept.
    fn add(&mut self, name: &str) -> Slot<'_>;
}

/// How many values a field has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One or none.
    One,
    /// A list of such.
    List(&'static str),
    /// By name.
    Map,
}

/// A type that a field may have.
pub trait Field {
    /// What several of them are called.
    const PLURAL: &str = "objects";
    /// Where such a field is kept.
    fn slot(&mut self) -> Slot<'_>;
}

/// A structure or choice of which there may be none, several or some by name: all but texts, flags and numbers, which
/// say themselves what that is.
pub trait Member: Field + Default {}

impl<T: Member> Field for Option<T> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Many(self)
    }
}

impl<T: Member> Field for Vec<T> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Many(self)
    }
}

impl<T: Member> Field for BTreeMap<String, T> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Many(self)
    }
}

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl TextField for $type {
            fn set(&mut self, value: String) {
                *self = value.into();
            }
        }

        impl TextField for Option<$type> {
            fn set(&mut self, value: String) {
                *self = Some(value.into());
            }
        }

        impl Field for $type {
            const PLURAL: &str = "strings";
            fn slot(&mut self) -> Slot<'_> {
                Slot::Text(self)
            }
        }

        impl Field for Option<$type> {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Text(self)
            }
        }

        impl Field for Vec<$type> {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Many(self)
            }
        }
    )*};
}

texts!(String, PathBuf);

impl Field for BTreeMap<String, String> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Many(self)
    }
}

impl FlagField for bool {
    fn set(&mut self, value: bool) {
        *self = value;
    }
}

impl FlagField for Option<bool> {
    fn set(&mut self, value: bool) {
        *self = Some(value);
    }
}

impl Field for bool {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Flag(self)
    }
}

impl Field for Option<bool> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Flag(self)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl NumberField for $type {
            fn set(&mut self, value: i128) -> bool {
                <$type>::try_from(value).map(|value| *self = value).is_ok()
            }
        }

        impl NumberField for Option<$type> {
            fn set(&mut self, value: i128) -> bool {
                <$type>::try_from(value).map(|value| *self = Some(value)).is_ok()
            }
        }

        impl Field for $type {
            const PLURAL: &str = "integers";
            fn slot(&mut self) -> Slot<'_> {
                Slot::Number(self)
            }
        }

        impl Field for Option<$type> {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Number(self)
            }
        }

        impl Field for Vec<$type> {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Many(self)
            }
        }
    )*};
}

numbers!(u16, i32, u32, i64, u64);

impl<T: Field + Default> Many for Option<T> {
    fn shape(&self) -> Shape {
        Shape::One
    }

    fn clear(&mut self) {
        *self = None;
    }

    fn add(&mut self, _: &str) -> Slot<'_> {
        self.insert(T::default()).slot()
    }
}

impl<T: Field + Default> Many for Vec<T> {
    fn shape(&self) -> Shape {
        Shape::List(T::PLURAL)
    }

    fn clear(&mut self) {
        Vec::clear(self);
    }

    fn add(&mut self, _: &str) -> Slot<'_> {
        let index = self.len();
        self.push(T::default());
        self[index].slot()
    }
}

impl<T: Field + Default> Many for BTreeMap<String, T> {
    fn shape(&self) -> Shape {
        Shape::Map
    }

    fn clear(&mut self) {
        BTreeMap::clear(self);
    }

    fn add(&mut self, name: &str) -> Slot<'_> {
        let value = self.entry(name.to_owned()).or_default();
        *value = T::default();
        value.slot()
    }
}

/// A structure's table: name in the document => field.
#[macro_export]
macro_rules! document {
    ($type:ident { $($name:literal => $field:ident,)* }) => {
        impl $crate::document::Document for $type {
            fn field(&mut self, name: &str) -> Option<$crate::document::Slot<'_>> {
                use $crate::document::Field;
                Some(match name {
                    $($name => self.$field.slot(),)*
                    _ => return None,
                })
            }
        }

        impl $crate::document::Field for $type {
            fn slot(&mut self) -> $crate::document::Slot<'_> {
                $crate::document::Slot::Document(self)
            }
        }

        impl $crate::document::Member for $type {}
    };
}
