/// A remote device cannot be used, or not any longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No server at the address.
    #[error("no server answers at {address}: {reason}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The server wants another token.
    #[error("the server at {address} refuses the token")]
    WrongToken {
        /// The address.
        address: String,
    },
    /// The server wants a token.
    #[error("the server at {address} wants a token, and none was given")]
    NoToken {
        /// The address.
        address: String,
    },
    /// The server was reached, and no session came about.
    #[error("the server at {address} opens no session: {reason}")]
    NoSession {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The connection was lost: what was computed there is gone.
    #[error("the connection to the server at {address} was lost: {reason}")]
    Lost {
        /// The address.
        address: String,
        /// How that was noticed.
        reason: String,
    },
}
