//! Whether a payload can be recorded: JSON that each of the databases takes.
//!
//! PostgreSQL's `jsonb` refuses some of what the grammar allows. An event that
//! cannot be committed would hold up its cause for ever, so it is refused where it
//! is emitted, on every database alike.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Takes the text as a payload, to the byte, or says why not.
pub(crate) fn payload(text: String) -> Result<Box<RawValue>, serde_json::Error> {
    let Storable = serde_json::from_str(&text)?;
    RawValue::from_string(text)
}

/// Reads everything and keeps nothing. The reader bounds the nesting at 128.
struct Storable;

impl<'de> Deserialize<'de> for Storable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Storable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Storable, E> {
        if text.contains('\0') {
            return Err(E::custom("a text contains U+0000, which no database takes"));
        }
        Ok(Storable)
    }

    fn visit_unit<E: Error>(self) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Storable, A::Error> {
        while let Some(Storable) = items.next_element()? {}
        Ok(Storable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Storable, A::Error> {
        while let Some((Storable, Storable)) = members.next_entry()? {}
        Ok(Storable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_to_the_byte() {
        for good in [
            r#"{"n": 1.10, "b": 12345678901234567890123, "a": ["\u00fc", null, true, -1, {}]}"#,
            "1",
            "\"text\"",
        ] {
            assert_eq!(payload(good.to_owned()).unwrap().get(), good);
        }
    }

    #[test]
    fn what_a_database_would_refuse_is_refused_at_once() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in [
            "",
            "{",
            "{} {}",
            "nope",
            r#""\u0000""#,
            r#"{"\u0000": 1}"#,
            r#""\ud800""#,
            "\"a\nb\"",
            &deep,
        ] {
            assert!(payload(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
