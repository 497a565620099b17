//! Under which names models are counted: each has a number, which it keeps as long as the process lives.

use std::collections::HashMap;

use super::ModelLabel;

/// The label of wildcard models beyond the bound.
pub(super) const OTHER: &str = "other";
/// The longest label of a model that only a wildcard names, in bytes.
const MAX: usize = 100;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: Vec<Label>,
    by_name: HashMap<String, ModelLabel>,
}

#[derive(Debug)]
struct Label {
    name: String,
    /// It comes from the configuration.
    fixed: bool,
}

impl Labels {
    /// The label of a model of the configuration.
    pub(super) fn fix(&mut self, name: &str) -> ModelLabel {
        let label = self.known(name).unwrap_or_else(|| self.add(name));
        self.names[label.0 as usize].fixed = true;
        label
    }

    pub(super) fn known(&self, name: &str) -> Option<ModelLabel> {
        self.by_name.get(name).copied()
    }

    /// The label of a model that a client named, as long as there is room for `max` such.
    pub(super) fn guessed(&mut self, name: &str, max: usize) -> ModelLabel {
        let guessed = self.names.iter().filter(|label| !label.fixed).count();
        let name = if guessed >= max { OTHER } else { name };
        self.known(name).unwrap_or_else(|| self.add(name))
    }

    fn add(&mut self, name: &str) -> ModelLabel {
        let label = ModelLabel(self.names.len() as u32);
        self.names.push(Label { name: name.to_owned(), fixed: false });
        self.by_name.insert(name.to_owned(), label);
        label
    }

    pub(super) fn name(&self, label: ModelLabel) -> &str {
        self.names.get(label.0 as usize).map_or(OTHER, |label| label.name.as_str())
    }

    /// Those of the configuration's models. Not [`OTHER`]: where nobody asks for what it stands for, its series would
    /// be idle for ever, and every ratio over them no number.
    pub(super) fn fixed(&self) -> Vec<(ModelLabel, String)> {
        let all = (0u32..).map(ModelLabel).zip(&self.names);
        let fixed = all.filter(|(_, label)| label.fixed && label.name != OTHER);
        fixed.map(|(number, label)| (number, label.name.clone())).collect()
    }
}

/// What an id looks like as a label: no provider's prefix (the dashboards' patterns are anchored), bounded, and
/// nothing in it that a client could play tricks with.
pub(super) fn label_text(asked: &str) -> String {
    let bare = asked.rsplit('/').find(|part| !part.is_empty()).unwrap_or(OTHER);
    let kept = |c: char| if c.is_ascii_alphanumeric() || ".-_:@+".contains(c) { c } else { '_' };
    bare.chars().take(MAX).map(kept).collect()
}
