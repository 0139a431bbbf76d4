//! What a scenario can write in short: a text, or an object with all of it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads either, each in its own way.
pub(super) fn text_or_object<'de, T, O: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
    text: impl FnOnce(&str) -> Result<T, String>,
    object: impl FnOnce(O) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Either {
        expecting,
        text,
        object,
        read: PhantomData::<fn() -> (T, O)>,
    })
}

struct Either<R, O, T> {
    expecting: &'static str,
    text: R,
    object: O,
    read: PhantomData<fn() -> T>,
}

impl<'de, T, O, R, W> Visitor<'de> for Either<R, W, (T, O)>
where
    O: Deserialize<'de>,
    R: FnOnce(&str) -> Result<T, String>,
    W: FnOnce(O) -> Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let object = O::deserialize(MapAccessDeserializer::new(map))?;
        (self.object)(object).map_err(A::Error::custom)
    }
}
