//! The models that a server lists.

/// A model in the list of a server, in OpenAI's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// Its name there.
    pub id: String,
    /// The other members of its entry as JSON text, such as `"object":"model","created":0`; "" for none.
    pub members: String,
}
