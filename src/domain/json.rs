//! JSON from strangers: no name twice in an object, where two readers could take either (RFC 8259 §4 leaves open which),
//! and nothing nested deeper than [`limits::JSON_DEPTH`].

use super::limits;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Reads one value and nothing behind it.
pub fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut source = serde_json::Deserializer::from_slice(body);
    let value = Nested(0).deserialize(&mut source)?;
    source.end()?;
    Ok(value)
}

/// A value inside this many arrays and objects.
struct Nested(usize);

impl Nested {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let depth = self.0 + 1;
        if depth > limits::JSON_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        Ok(Self(depth))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.deeper()?)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::domain::limits;
    use serde_json::Value;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            "null",
            "true",
            "-7",
            "18446744073709551615",
            "1.5e3",
            "\"a\\u00e4\\n\"",
            "[]",
            "{}",
            " {\"a\":[1,{\"b\":null}],\"c\":\"d\"} ",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        for text in ["", "{", "{\"a\":1,}", "[1 2]", "{} {}", "nul", "01", "1e400", "\u{feff}{}", "{\"a\":\"\\ud800\"}"]
        {
            read(text.as_bytes()).expect_err(text);
        }
    }

    #[test]
    fn a_name_may_stand_in_several_objects_and_once_in_each() {
        read(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).unwrap();
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#] {
            assert!(read(text.as_bytes()).unwrap_err().to_string().starts_with("a name stands twice"), "{text}");
        }
    }

    #[test]
    fn sixteen_levels_are_read_and_not_one_more() {
        let nested =
            |open: &str, close: &str, levels: usize| format!("{}{}", open.repeat(levels), close.repeat(levels));
        for (open, close) in [("[", "]"), ("{\"a\":[", "]}")] {
            let levels = limits::JSON_DEPTH / open.matches(['[', '{']).count();
            read(nested(open, close, levels).as_bytes()).unwrap();
            let refused = read(nested(open, close, levels + 1).as_bytes()).unwrap_err();
            assert!(refused.to_string().contains("deeper than 16"), "{refused}");
        }
        read("[".repeat(1 << 16).as_bytes()).unwrap_err();
    }
}
