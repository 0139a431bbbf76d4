//! Order by key: which events follow each other.

use uuid::Uuid;

use crate::envelope::Envelope;

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
}

/// The key of a lane: events with the same one follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(Box<str>);

impl LaneKey {
    /// A key of this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }
}

impl KeyField {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tenant, Self::Correlation];

    /// The word for it in a component's file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Correlation => "correlation",
        }
    }

    /// The field with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == word)
    }

    /// The key of an event; `None` when it has none, and follows nobody.
    pub fn of(self, envelope: &Envelope) -> Option<LaneKey> {
        let id: Option<Uuid> = match self {
            Self::Tenant => envelope.tenant_id,
            Self::Correlation => envelope.correlation_id,
        };
        id.map(|id| LaneKey::new(id.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(KeyField::Tenant.of(&both), key(one));
        assert_eq!(KeyField::Correlation.of(&both), key(two));
        for field in KeyField::ALL {
            assert_eq!(field.of(&envelope("")), None);
            assert_eq!(KeyField::parse(field.as_str()), Some(field));
        }
        assert_eq!(KeyField::parse("none"), None);
    }
}
