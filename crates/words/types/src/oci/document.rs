//! Reading JSON objects field by field, by tables.
//!
//! What serde derives for reading is many times the size: code for every structure, which can read sequences and
//! numbered fields too and keeps every field aside. The runtime, which parses these documents at every start, is to
//! be small: here a structure only says where a field of a name is kept, and one piece of code fills all of them. A
//! field whose value is `null` gets its default; an unknown one is skipped; of one that is there twice the last
//! counts.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A structure whose fields are found by name.
pub trait Document {
    /// Where a field is kept; `None` if there is no such field.
    fn field(&mut self, name: &str) -> Option<Slot<'_>>;
}

/// Where a value is kept.
pub enum Slot<'a> {
    /// A text.
    Text(&'a mut String),
    /// A yes or no.
    Flag(&'a mut dyn FlagField),
    /// A whole number.
    Number(&'a mut dyn NumberField),
    /// Texts.
    Texts(&'a mut Vec<String>),
    /// Texts by name.
    TextMap(&'a mut BTreeMap<String, String>),
    /// Numbers.
    Numbers(&'a mut Vec<u32>),
    /// A structure.
    Document(&'a mut dyn Document),
    /// A structure that may be missing, a list or a map of structures.
    Documents(&'a mut dyn DocumentsField),
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

/// Structures that are made as they are read.
pub trait DocumentsField {
    /// What it is: a map by name, a list, or one.
    fn shape(&self) -> Shape;
    /// Forgets all.
    fn clear(&mut self);
    /// Makes another one (of a map, of this name) and gives it.
    fn add(&mut self, name: &str) -> &mut dyn Document;
}

/// How many structures a field has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One or none.
    One,
    /// A list.
    List,
    /// By name.
    Map,
}

/// A type that a field may have.
pub trait Field {
    /// Where such a field is kept.
    fn slot(&mut self) -> Slot<'_>;
}

impl Field for String {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Text(self)
    }
}

impl Field for Vec<String> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Texts(self)
    }
}

impl Field for Vec<u32> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Numbers(self)
    }
}

impl Field for BTreeMap<String, String> {
    fn slot(&mut self) -> Slot<'_> {
        Slot::TextMap(self)
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
            fn slot(&mut self) -> Slot<'_> {
                Slot::Number(self)
            }
        }

        impl Field for Option<$type> {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Number(self)
            }
        }
    )*};
}

numbers!(u16, i32, u32, i64, u64);

impl<T: Document + Default> DocumentsField for Option<T> {
    fn shape(&self) -> Shape {
        Shape::One
    }

    fn clear(&mut self) {
        *self = None;
    }

    fn add(&mut self, _: &str) -> &mut dyn Document {
        self.insert(T::default())
    }
}

impl<T: Document + Default> DocumentsField for Vec<T> {
    fn shape(&self) -> Shape {
        Shape::List
    }

    fn clear(&mut self) {
        Vec::clear(self);
    }

    fn add(&mut self, _: &str) -> &mut dyn Document {
        let index = self.len();
        self.push(T::default());
        &mut self[index]
    }
}

impl<T: Document + Default> DocumentsField for BTreeMap<String, T> {
    fn shape(&self) -> Shape {
        Shape::Map
    }

    fn clear(&mut self) {
        BTreeMap::clear(self);
    }

    fn add(&mut self, name: &str) -> &mut dyn Document {
        let slot = self.entry(name.to_owned()).or_default();
        *slot = T::default();
        slot
    }
}

/// Reads an object into a structure.
pub(crate) fn read<'de, D: Deserializer<'de>>(document: &mut dyn Document, from: D) -> Result<(), D::Error> {
    Fill(Slot::Document(document)).deserialize(from)
}

/// A value on its way to its slot.
struct Fill<'a>(Slot<'a>);

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Slot::Text(_) => "a string",
            Slot::Flag(_) => "a boolean",
            Slot::Number(_) => "an integer",
            Slot::Texts(_) => "a list of strings",
            Slot::Numbers(_) => "a list of integers",
            Slot::Documents(many) if many.shape() == Shape::List => "a list of objects",
            Slot::TextMap(_) | Slot::Document(_) | Slot::Documents(_) => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // What is not said is there already: the default.
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.0 {
            Slot::Flag(flag) => {
                flag.set(value);
                Ok(())
            }
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        match self.0 {
            Slot::Text(text) => {
                value.clone_into(text);
                Ok(())
            }
            _ => Err(E::invalid_type(serde::de::Unexpected::Str(value), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match self.0 {
            Slot::Texts(texts) => loop {
                let mut text = String::new();
                if list.next_element_seed(Fill(Slot::Text(&mut text)))?.is_none() {
                    return Ok(());
                }
                texts.push(text);
            },
            Slot::Numbers(numbers) => loop {
                let mut number = 0_u32;
                if list.next_element_seed(Fill(Slot::Number(&mut number)))?.is_none() {
                    return Ok(());
                }
                numbers.push(number);
            },
            Slot::Documents(many) if many.shape() == Shape::List => {
                while list.next_element_seed(Add(many, ""))?.is_some() {}
                Ok(())
            }
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.0 {
            Slot::Document(document) => fill(document, map),
            Slot::Documents(one) if one.shape() == Shape::One => fill(one.add(""), map),
            Slot::TextMap(texts) => {
                while let Some(name) = map.next_key::<String>()? {
                    let mut text = String::new();
                    map.next_value_seed(Fill(Slot::Text(&mut text)))?;
                    texts.insert(name, text);
                }
                Ok(())
            }
            Slot::Documents(many) if many.shape() == Shape::Map => {
                while let Some(name) = map.next_key::<String>()? {
                    map.next_value_seed(Add(many, &name))?;
                }
                Ok(())
            }
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

impl Fill<'_> {
    fn number<E: Error>(self, value: i128) -> Result<(), E> {
        match self.0 {
            Slot::Number(number) => match number.set(value) {
                true => Ok(()),
                false => Err(E::custom(format_args!("{value} does not fit"))),
            },
            _ => Err(E::custom(format_args!("unexpected number {value}"))),
        }
    }
}

/// The next structure of several; it is made when its value has begun, so that the end of a list makes none.
struct Add<'a>(&'a mut dyn DocumentsField, &'a str);

impl<'de> DeserializeSeed<'de> for Add<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        Fill(Slot::Document(self.0.add(self.1))).deserialize(from)
    }
}

fn fill<'de, A: MapAccess<'de>>(document: &mut dyn Document, mut map: A) -> Result<(), A::Error> {
    while let Some(name) = map.next_key::<String>()? {
        match document.field(&name) {
            Some(mut slot) => {
                clear(&mut slot);
                map.next_value_seed(Fill(slot))
                    .map_err(|error| A::Error::custom(format_args!("{name}: {error}")))?;
            }
            None => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(())
}

/// Of a field that is there twice the last counts.
fn clear(slot: &mut Slot<'_>) {
    match slot {
        Slot::Texts(texts) => texts.clear(),
        Slot::Numbers(numbers) => numbers.clear(),
        Slot::TextMap(texts) => texts.clear(),
        Slot::Documents(all) => all.clear(),
        _ => {}
    }
}

/// A structure's table: name in the document => field.
macro_rules! document {
    ($type:ident { $($name:literal => $field:ident,)* }) => {
        impl $crate::oci::document::Document for $type {
            fn field(&mut self, name: &str) -> Option<$crate::oci::document::Slot<'_>> {
                use $crate::oci::document::Field;
                Some(match name {
                    $($name => self.$field.slot(),)*
                    _ => return None,
                })
            }
        }

        impl $crate::oci::document::Field for $type {
            fn slot(&mut self) -> $crate::oci::document::Slot<'_> {
                $crate::oci::document::Slot::Document(self)
            }
        }

        impl $crate::oci::document::Field for Option<$type> {
            fn slot(&mut self) -> $crate::oci::document::Slot<'_> {
                $crate::oci::document::Slot::Documents(self)
            }
        }

        impl $crate::oci::document::Field for Vec<$type> {
            fn slot(&mut self) -> $crate::oci::document::Slot<'_> {
                $crate::oci::document::Slot::Documents(self)
            }
        }

        impl $crate::oci::document::Field for std::collections::BTreeMap<String, $type> {
            fn slot(&mut self) -> $crate::oci::document::Slot<'_> {
                $crate::oci::document::Slot::Documents(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut document = Self::default();
                $crate::oci::document::read(&mut document, deserializer)?;
                Ok(document)
            }
        }
    };
}

pub(crate) use document;
