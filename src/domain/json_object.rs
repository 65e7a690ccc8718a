//! JSON objects in which every name stands once. RFC 8259 §4 leaves open which of two counts, so that two programs could
//! read the same bytes differently.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A JSON object whose names are all different.
#[derive(Debug)]
pub struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// A member; `None` where it is absent.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All members.
    pub fn into_members(self) -> Map<String, Value> {
        self.0
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(JsonObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::JsonObject;

    #[test]
    fn an_object_with_a_name_twice_is_none() {
        let read = |text| serde_json::from_str::<JsonObject>(text);
        assert_eq!(read(r#"{"a":1,"b":{"a":2}}"#).unwrap().member("a").unwrap(), 1);
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":1,"b":2,"a":null}"#, "[]", "7", "null"] {
            assert!(read(text).is_err_and(|error| error.is_data()), "{text}");
        }
    }
}
