//! What callers of the RPC show to be let in. It does not show itself.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A token, or `USER:PASSWORD`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A fresh one, from the system's randomness.
    pub fn generate() -> Self {
        let mut bytes = [0; LENGTH];
        rand::fill(&mut bytes);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// Its text, for whoever may know it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Bytes of randomness: nobody guesses them.
const LENGTH: usize = 32;

impl TryFrom<String> for Token {
    type Error = &'static str;

    /// A header must be able to hold it.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            [] => Err("a token is empty"),
            bytes if bytes.iter().all(u8::is_ascii_graphic) => Ok(Self(text)),
            _ => Err("a token has characters other than visible ASCII"),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Reads the list; what is wrong with it is said without what stands there.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Token>, D::Error> {
    let Ok(toml::Value::Array(items)) = toml::Value::deserialize(deserializer) else {
        return Err(de::Error::custom("tokens are a list of texts"));
    };
    let token = |item| match item {
        toml::Value::String(text) => Token::try_from(text).map_err(de::Error::custom),
        _ => Err(de::Error::custom("a token is a text in quotes")),
    };
    items.into_iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_unlike_one_another_and_fit_into_a_header() {
        let (one, other) = (Token::generate(), Token::generate());

        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().len() >= 40 && Token::try_from(one.reveal().to_owned()).is_ok());
        assert_eq!(format!("{one:?}"), "Token(..)");
    }
}
