//! Order by key: which events follow each other.

use crate::envelope::Envelope;
use crate::wire::{self, Headers};

/// In which order a component sees its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they come, side by side.
    #[default]
    None,
    /// Events of one key one after the other, in the order of the outbox; different
    /// keys side by side.
    Key(KeyField),
}

/// What is an event's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyField {
    /// Its tenant.
    Tenant,
    /// Its correlation id.
    Correlation,
    /// The key that its producer gave it.
    OrderingKey,
}

/// The key of a lane: events with the same one follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(Box<str>);

impl LaneKey {
    /// A key of this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl KeyField {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tenant, Self::Correlation, Self::OrderingKey];

    /// The word for it in a component's file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Correlation => "correlation",
            Self::OrderingKey => "ordering-key",
        }
    }

    /// The field with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == word)
    }

    /// The key of an event, from its envelope or else from its message's headers, where
    /// a producer may have put it alone; `None` when it has none, and follows nobody.
    pub fn of(self, envelope: &Envelope, headers: &Headers) -> Option<LaneKey> {
        let (id, header) = match self {
            Self::Tenant => (envelope.tenant_id, wire::TENANT_ID),
            Self::Correlation => (envelope.correlation_id, wire::CORRELATION_ID),
            Self::OrderingKey => {
                let own = envelope.ordering_key.clone();
                let key = own.or_else(|| headers.ordering_key())?;
                return Some(LaneKey::new(key.as_str()));
            }
        };
        match id {
            Some(id) => Some(LaneKey::new(id.to_string())),
            None => headers.get(header).map(LaneKey::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_key_is_read_from_its_field_and_an_event_may_have_none() {
        let envelope = |rest: &str| {
            let body = format!(
                r#"{{"event_id":"6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10","event_name":"a"{rest},"payload":1}}"#
            );
            Envelope::decode(body.as_bytes(), None).unwrap()
        };
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let both = envelope(&format!(r#","tenant_id":"{one}","correlation_id":"{two}""#));
        let key = |id: Uuid| Some(LaneKey::new(id.to_string()));
        let none = Headers::default();
        let three = Uuid::from_u128(3);
        let header = Headers(vec![("QX.Tenant_Id".to_owned(), three.to_string())]);
        assert_eq!(KeyField::Tenant.of(&both, &none), key(one));
        assert_eq!(KeyField::Tenant.of(&both, &header), key(one));
        assert_eq!(KeyField::Tenant.of(&envelope(""), &header), key(three));
        assert_eq!(KeyField::Correlation.of(&both, &none), key(two));
        let given = Headers(vec![(wire::ORDERING_KEY.to_owned(), "order 7".to_owned())]);
        let seven = Some(LaneKey::new("order 7"));
        assert_eq!(KeyField::OrderingKey.of(&envelope(""), &given), seven);
        for field in KeyField::ALL {
            assert_eq!(field.of(&envelope(""), &none), None);
            assert_eq!(KeyField::parse(field.as_str()), Some(field));
        }
        assert_eq!(KeyField::parse("none"), None);
    }
}
