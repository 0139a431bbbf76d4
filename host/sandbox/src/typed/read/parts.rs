//! Values that have values in them: lists, records, cases that carry something.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use wasmtime::component::Val;

use super::Reader;
use crate::typed::plan::{Plan, Record, Variant};
use crate::typed::said::{described, one_of};
use crate::typed::spelling::{Names, snake};

impl Reader<'_> {
    /// Values by their plans; one more than there are plans is the mistake.
    pub(super) fn list<'de, 'p, A: SeqAccess<'de>>(
        &self,
        mut items: A,
        plans: impl Iterator<Item = &'p Plan>,
    ) -> Result<Vec<Val>, A::Error> {
        let mut values = Vec::new();
        for plan in plans {
            let at = |error| {
                self.run.at_index(values.len());
                error
            };
            match items
                .next_element_seed(Reader::new(plan, self.run))
                .map_err(at)?
            {
                Some(value) => values.push(value),
                None => return Ok(values),
            }
        }
        match items.next_element::<IgnoredAny>()? {
            Some(IgnoredAny) => Err(self.unexpected("more of them")),
            None => Ok(values),
        }
    }

    /// A value for each plan.
    pub(super) fn exactly<'de, 'p, A: SeqAccess<'de>>(
        &self,
        items: A,
        plans: impl ExactSizeIterator<Item = &'p Plan>,
    ) -> Result<Vec<Val>, A::Error> {
        let length = plans.len();
        let values = self.list(items, plans)?;
        if values.len() == length {
            return Ok(values);
        }
        Err(self.unexpected("fewer of them"))
    }

    pub(super) fn flags<'de, A: SeqAccess<'de>>(
        &self,
        mut items: A,
        names: &Names,
    ) -> Result<Val, A::Error> {
        let mut set = Vec::new();
        let each = Plan::String;
        loop {
            let index = set.len();
            let at = |error| {
                self.run.at_index(index);
                error
            };
            match items
                .next_element_seed(Reader::new(&each, self.run))
                .map_err(at)?
            {
                Some(Val::String(text)) if names.find(&text).is_some() => set.push(text),
                Some(_) => {
                    let expected = one_of(names);
                    return Err(at(self
                        .run
                        .wrong(format!("expected {expected}, found another text"))));
                }
                None => break,
            }
        }
        let is_set =
            |(index, _): &(usize, &String)| set.iter().any(|text| names.find(text) == Some(*index));
        let all = names.all().iter().enumerate().filter(is_set);
        Ok(Val::Flags(all.map(|(_, name)| name.clone()).collect()))
    }

    pub(super) fn record<'de, A: MapAccess<'de>>(
        &self,
        mut members: A,
        record: &Record,
    ) -> Result<Val, A::Error> {
        let mut values: Vec<Option<Val>> = Vec::new();
        values.resize_with(record.fields.len(), || None);
        while let Some(key) = members.next_key_seed(KeyOf(&record.names))? {
            let Key::Known(index, key) = key else {
                let IgnoredAny = members.next_value()?;
                continue;
            };
            let (Some(plan), Some(value)) = (record.fields.get(index), values.get_mut(index))
            else {
                let IgnoredAny = members.next_value()?;
                continue;
            };
            let at = |error| {
                self.run.at_key(&key);
                error
            };
            if value.is_some() {
                return Err(at(self.run.wrong("is given twice".to_owned())));
            }
            *value = Some(
                members
                    .next_value_seed(Reader::new(plan, self.run))
                    .map_err(at)?,
            );
        }
        let mut fields = Vec::with_capacity(values.len());
        for (index, (value, plan)) in values.into_iter().zip(&record.fields).enumerate() {
            let name = record.names.name(index);
            let value = match (value, plan) {
                (Some(value), _) => value,
                (None, Plan::Option(_)) => Val::Option(None),
                (None, plan) => {
                    self.run.at_key(&snake(name));
                    let expected = described(plan);
                    return Err(self.run.wrong(format!("is missing, expected {expected}")));
                }
            };
            fields.push((name.to_owned(), value));
        }
        Ok(Val::Record(fields))
    }

    /// `{"case": value}`.
    pub(super) fn variant<'de, A: MapAccess<'de>>(
        &self,
        mut members: A,
        variant: &Variant,
    ) -> Result<Val, A::Error> {
        let Some(key) = members.next_key::<String>()? else {
            return Err(self.unexpected("an empty object"));
        };
        let Some((name, plan)) = case(variant, &key) else {
            return Err(self.unexpected("an object with another key"));
        };
        let Some(plan) = plan else {
            return Err(self.unexpected("an object for a case that carries nothing"));
        };
        let at = |error| {
            self.run.at_key(&key);
            error
        };
        let value = members
            .next_value_seed(Reader::new(plan, self.run))
            .map_err(at)?;
        if members.next_key::<IgnoredAny>()?.is_some() {
            return Err(self.unexpected("an object with more than one key"));
        }
        Ok(Val::Variant(name.to_owned(), Some(Box::new(value))))
    }
}

/// A case by how it is written, with what it carries.
pub(super) fn case<'p>(variant: &'p Variant, text: &str) -> Option<(&'p str, Option<&'p Plan>)> {
    let index = variant.names.find(text)?;
    let carries = variant.cases.get(index)?;
    Some((variant.names.name(index), carries.as_ref()))
}

/// A key of the payload that a record may have.
enum Key {
    /// The field, and the key as the payload has it.
    Known(usize, String),
    Unknown,
}

struct KeyOf<'a>(&'a Names);

impl<'de> DeserializeSeed<'de> for KeyOf<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(match self.0.find(key) {
            Some(index) => Key::Known(index, key.to_owned()),
            None => Key::Unknown,
        })
    }
}
