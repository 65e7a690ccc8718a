//! JSON from strangers: no name twice in an object, where two readers could take either (RFC 8259 §4 leaves open which),
//! and nothing nested deeper than [`limits::JSON_DEPTH`]. Or, of an object, the members that are asked for.

use super::limits;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

const TWICE: &str = "a name stands twice in one object";

/// Reads one value and nothing behind it.
pub fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut source = serde_json::Deserializer::from_slice(body);
    let value = Nested(0).deserialize(&mut source)?;
    source.end()?;
    Ok(value)
}

/// Reads an object of which only `names` are asked for. The value of any other member may be what it likes, such as half
/// a surrogate pair: it is null here, once it is known to be JSON without a name twice in one object, and nested no
/// deeper than [`limits::SKIPPED_JSON_DEPTH`].
pub fn read_members(body: &[u8], names: &[&str]) -> Result<Map<String, Value>, serde_json::Error> {
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    let mut source = serde_json::Deserializer::from_str(text);
    let members = Deserializer::deserialize_map(&mut source, Members(names))?;
    source.end()?;
    Ok(members)
}

/// An object, by the names in it that are asked for.
struct Members<'a>(&'a [&'a str]);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Map<String, Value>, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = if self.0.contains(&name.as_str()) {
                members.next_value_seed(Nested(1))?
            } else {
                skip(members.next_value::<&RawValue>()?.get()).map_err(A::Error::custom)?;
                Value::Null
            };
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(object)
    }
}

/// Looks through the value of a member, which is JSON.
fn skip(mut text: &str) -> Result<(), &'static str> {
    // The names so far in each object, or array, that the text is inside of.
    let mut open = vec![BTreeSet::new()];
    while let Some(at) = text.find(['[', ']', '{', '}', '"']) {
        let from = text.get(at..).unwrap_or_default();
        let mut length = 1;
        match from.as_bytes().first() {
            Some(b'[' | b'{') if open.len() == limits::SKIPPED_JSON_DEPTH => return Err("it is nested too deep"),
            Some(b'[' | b'{') => open.push(BTreeSet::new()),
            Some(b'"') => length = string_bytes(from),
            _ => drop(open.pop()),
        }
        text = from.get(length..).unwrap_or_default();
        if length > 1 && text.trim_ascii_start().starts_with(':') {
            let spelled = from.get(..length).unwrap_or_default();
            let name: String = serde_json::from_str(spelled).unwrap_or_else(|_| spelled.to_owned());
            if open.last_mut().is_none_or(|names| !names.insert(name)) {
                return Err(TWICE);
            }
        }
    }
    Ok(())
}

/// The length of the string that `text` begins with, in bytes, quotes and all.
fn string_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
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
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{read, read_members};
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
    fn what_nobody_asks_for_may_be_any_json_with_each_name_once() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let read_a = |text: &str| read_members(text.as_bytes(), &["a"]);
        for value in [
            "1e400",
            "-0",
            r#""Jo\ud83d""#,
            r#""\"}]\\""#,
            r#"{"\ud83d":"x","y":["\udfff"]}"#,
            r#"[{"y":1},{"y":{"y":"y"}},"y","y"]"#,
            r#"{ "y" : "z:" , "z" : "y" }"#,
            &nested(limits::SKIPPED_JSON_DEPTH - 1),
        ] {
            let members = read_a(&format!(r#" {{"x":{value},"a":[1],"y" :{value}}} "#)).unwrap();
            assert_eq!(Value::Object(members), serde_json::json!({ "a": [1], "x": null, "y": null }), "{value}");
        }
        for value in [
            "",
            "1e",
            "nul",
            r#""\u12""#,
            "\"\n\"",
            "[1,]",
            r#"{"y":1,"y":2}"#,
            r#"[{"y":{},"\u0079":1}]"#,
            r#"{"\ud83d":1,"\ud83d":2}"#,
            &nested(limits::SKIPPED_JSON_DEPTH),
        ] {
            read_a(&format!(r#"{{"x":{value}}}"#)).expect_err(value);
        }
        for text in ["[]", "null", "", "{}{}", "\u{feff}{}", r#"{"x":1,"x":1}"#, r#"{"x":1,"\u0078":1}"#] {
            read_a(text).expect_err(text);
        }
        read_members(b"{\"x\":\"\xff\"}", &["a"]).unwrap_err();
        // What is asked for is read like any JSON.
        for value in ["1e400", r#""\ud83d""#, r#"{"y":1,"y":2}"#, &nested(limits::JSON_DEPTH)] {
            read_a(&format!(r#"{{"a":{value}}}"#)).expect_err(value);
        }
        assert_eq!(read_a(r#"{"a":"\ud83c\udfac"}"#).unwrap()["a"], "🎬");
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
