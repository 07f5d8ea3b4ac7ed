use crate::{Error, OrganizationId, Result, excerpt, limits, name::display_name};

/// Who owns projects and principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// What it pays for.
    pub plan: Plan,
    /// Whether it pays.
    pub payment_status: PaymentStatus,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: u64,
}

impl Organization {
    /// Reads a name: 1 to 512 printable characters.
    pub fn parse_name(text: &str) -> Result<String> {
        display_name("an organization", text, limits::ORGANIZATION_NAME_LEN_MAX)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($(#[$vdoc:meta])* $variant:ident $word:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }
        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// Pinecone's word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
            /// Reads Pinecone's word.
            pub fn parse(text: &str) -> Result<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    Error::invalid(format!("'{}' is not {}; {} are allowed", excerpt(text), $what, words.join(", ")))
                })
            }
        }
    };
}

words! {
    /// What an organization pays for. The operator sets it; it bounds nothing by itself.
    Plan, "a plan":
    /// Free.
    Free "Free",
    /// Pinecone's smaller plan for teams.
    Standard "Standard",
    /// Everything.
    Enterprise "Enterprise",
    /// On machines of its own.
    Dedicated "Dedicated",
}

impl Plan {
    /// The support that comes with it, in Pinecone's words.
    pub const fn support_tier(self) -> &'static str {
        match self {
            Plan::Free => "Free",
            Plan::Standard => "Developer",
            Plan::Enterprise | Plan::Dedicated => "Enterprise",
        }
    }
}

words! {
    /// Whether an organization pays. The operator sets it.
    PaymentStatus, "a payment status":
    /// It pays.
    Active "Active",
    /// A payment is on its way.
    PaymentPending "PaymentPending",
    /// A payment is late.
    PastDue "PastDue",
    /// So late that nothing new may be made.
    Restricted "Restricted",
    /// So late that nothing may be done.
    Suspended "Suspended",
    /// It has left.
    Deactivated "Deactivated",
}
