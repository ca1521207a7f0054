//! Cache keys: the digest of a step's definition and of what it takes in.

use hull_content::Hasher;

/// A key in the making. Every field is framed by its length: no two lists of fields run together.
pub(crate) struct Key(Hasher);

impl Key {
    /// Of a step of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut key = Self(Hasher::like(None));
        // The version: whoever changes what a step does changes it.
        key.add("hull-build-1");
        key.add(kind);
        key
    }
    pub(crate) fn add(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }
    pub(crate) fn add_all<T: AsRef<[u8]>>(&mut self, fields: impl IntoIterator<Item = T>) {
        let fields: Vec<T> = fields.into_iter().collect();
        self.0.update(&(fields.len() as u64).to_le_bytes());
        fields.iter().for_each(|field| self.add(field));
    }
    pub(crate) fn finish(self) -> String {
        self.0.finish().hex().to_owned()
    }
}
