//! Several witnesses as one.

use std::sync::Arc;

use qx_pipeline::{Sight, Witness};

/// Tells each of them, in this order.
pub struct All(Vec<Arc<dyn Witness>>);

impl All {
    /// These witnesses as one.
    pub fn new(witnesses: Vec<Arc<dyn Witness>>) -> Self {
        Self(witnesses)
    }
}

impl Witness for All {
    fn saw(&self, sight: &Sight<'_>) {
        for witness in &self.0 {
            witness.saw(sight);
        }
    }
}
