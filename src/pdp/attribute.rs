//! Attributes of people: a department, a branch. Names are the configuration's, values come from tokens and from the directory.

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 255;

/// Attributes by name. There are few of them, so they are searched straight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(Box<str>, Box<str>)>);

impl Attributes {
    /// Adds an attribute. Of two with one name, the first one counts.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| **other == *name).map(|(_, value)| &**value)
    }

    /// All attributes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }
}

/// Visible ASCII without comma, of a length that fits into a header: the form of every identifier and attribute value that comes from
/// outside and is compared or handed on.
#[must_use]
pub fn is_safe_value(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_VALUE_BYTES && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}
