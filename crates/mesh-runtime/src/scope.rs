//! Whose rows a caller sees.

/// Whose rows a caller sees. A row of somebody else is as good as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's: nobody has to say who they are, or the caller is an administrator.
    All,
    /// Those that this principal made.
    Owner(String),
}

impl Scope {
    /// Whether a row with this owner is seen. Rows that nobody owns are for
    /// [`Scope::All`] alone, unless whoever asks decides otherwise.
    pub fn sees(&self, owner: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Owner(name) => owner == Some(name),
        }
    }

    /// Who owns what the caller makes.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Owner(name) => Some(name),
        }
    }
}
