//! From trees to serde types. What a mistake was found in is left out, so that the rest can be read.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{Error, MapAccessDeserializer, U32Deserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use crate::tree::{NodeId, Tree, Value};

/// Reads a node and what is below it.
pub(crate) fn read<'t, T: Deserialize<'t>>(tree: &'t Tree, id: NodeId) -> Result<T, Error> {
    T::deserialize(Cursor { tree, id })
}

/// A value that remembers the node it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) id: NodeId,
    pub(crate) value: T,
}

/// A node whose content is read elsewhere.
pub(crate) type Unread = At<IgnoredAny>;

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Asks [`Cursor`] for the node together with the value.
const AT: &str = "$vitald::At";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AtVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a manifest")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let missing = || de::Error::custom("a value of a manifest is needed");
                let id = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(At { id: NodeId::from_raw(id), value })
            }
        }
        deserializer.deserialize_newtype_struct(AT, AtVisitor(PhantomData))
    }
}

#[derive(Clone, Copy)]
struct Cursor<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'de> Deserializer<'de> for Cursor<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tree.value(self.id) {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(*value as f64),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Seq(items) => visitor.visit_seq(Children::new(self.tree, items)),
            Value::Map(children) => visitor.visit_map(Children::new(self.tree, children)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tree.value(self.id) {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == AT {
            visitor.visit_seq(Both { cursor: self, step: 0 })
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.tree.value(self.id) {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(children) => {
                visitor.visit_enum(MapAccessDeserializer::new(Children::new(self.tree, children)))
            }
            _ => Err(de::Error::custom("expected a name")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The node's number, then its value.
struct Both<'t> {
    cursor: Cursor<'t>,
    step: u8,
}

impl<'t> SeqAccess<'t> for Both<'t> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.step += 1;
        match self.step {
            1 => {
                let id: U32Deserializer<Error> = self.cursor.id.raw().into_deserializer();
                seed.deserialize(id).map(Some)
            }
            2 => seed.deserialize(self.cursor).map(Some),
            _ => Ok(None),
        }
    }
}

/// The children that are any good.
struct Children<'t> {
    tree: &'t Tree,
    rest: std::slice::Iter<'t, NodeId>,
    current: Option<NodeId>,
}

impl<'t> Children<'t> {
    fn new(tree: &'t Tree, children: &'t [NodeId]) -> Self {
        Self { tree, rest: children.iter(), current: None }
    }
}

impl<'t> SeqAccess<'t> for Children<'t> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let next = self.rest.find(|id| !self.tree.node(**id).faulty);
        next.map(|id| seed.deserialize(Cursor { tree: self.tree, id: *id })).transpose()
    }
}

impl<'t> MapAccess<'t> for Children<'t> {
    type Error = Error;

    /// A null is a field left out, as the API server of Kubernetes takes it.
    fn next_key_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let good = |id: &&NodeId| !self.tree.node(**id).faulty && *self.tree.value(**id) != Value::Null;
        self.current = self.rest.find(good).copied();
        match self.current.and_then(|id| self.tree.key(id)) {
            Some(key) => seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let id = self.current.take().ok_or_else(|| de::Error::custom("a value before its key"))?;
        seed.deserialize(Cursor { tree: self.tree, id })
    }
}
