//! The configuration as a file that people edit: what is changed here leaves all else as it stands, comments too.
//!
//! A change is judged by the parser that reads the file at the next start, before anything is written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::{Config, ConfigError, Key, TEMPLATE};
use crate::repository::write_atomically;

/// The text of a configuration file and what it says.
#[derive(Clone)]
pub struct Document {
    path: PathBuf,
    text: DocumentMut,
    config: Config,
}

impl Document {
    /// Reads the file at `path`; where there is none, the template stands for it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => TEMPLATE.to_owned(),
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        let config = Config::parse(&text, path)?;
        Ok(Self { path: path.to_owned(), text: text.parse().expect("it was just parsed"), config })
    }

    /// What it says, defaults included.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets a key to what a person wrote.
    pub fn set(&mut self, key: Key, text: &str) -> Result<(), ConfigError> {
        self.put(key, key.read(text)?)
    }

    /// Gives a list these items.
    pub fn set_list(&mut self, key: Key, items: &[String]) -> Result<(), ConfigError> {
        self.put(key, Array::from_iter(items).into())
    }

    /// Puts items at the end of a list, those left out that it has.
    pub fn add(&mut self, key: Key, items: &[String]) -> Result<(), ConfigError> {
        let mut list = self.list(key)?;
        for item in items {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        self.set_list(key, &list)
    }

    /// Takes items off a list; each must be there.
    pub fn remove(&mut self, key: Key, items: &[String]) -> Result<(), ConfigError> {
        let mut list = self.list(key)?;
        if let Some(absent) = items.iter().find(|item| !list.contains(item)) {
            let what = if key.is_secret() { "such a value".to_owned() } else { format!("{absent:?}") };
            return Err(ConfigError::Value { key: key.name, why: format!("the list does not have {what}") });
        }
        list.retain(|item| !items.contains(item));
        self.set_list(key, &list)
    }

    /// Takes a key away, so that its default counts.
    pub fn unset(&mut self, key: Key) -> Result<(), ConfigError> {
        let (section, name) = key.parts();
        if let Some(table) = self.text.get_mut(section).and_then(Item::as_table_like_mut) {
            table.remove(name);
        }
        self.judge(key)
    }

    /// Writes the file; after a crash it holds what it held or all of this.
    pub fn write(&self) -> Result<(), ConfigError> {
        write_atomically(&self.path, self.text.to_string().as_bytes(), 0o600)
            .map_err(|source| ConfigError::Unwritable { path: self.path.clone(), source })
    }

    fn list(&self, key: Key) -> Result<Vec<String>, ConfigError> {
        if !key.is_list() {
            return Err(ConfigError::Value { key: key.name, why: "this is no list: set it".to_owned() });
        }
        let value = key.value(&self.config);
        let items = value.as_array().into_iter().flatten();
        Ok(items.filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    fn put(&mut self, key: Key, mut value: Value) -> Result<(), ConfigError> {
        if let Value::Array(list) = &mut value
            && list.len() > 1
        {
            list.iter_mut().for_each(|item| item.decor_mut().set_prefix("\n    "));
            list.set_trailing_comma(true);
            list.set_trailing("\n");
        }
        let (section, name) = key.parts();
        let before = self.text.clone();
        let table = self.text.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let Some(table) = table.as_table_like_mut() else {
            return Err(ConfigError::Value { key: key.name, why: format!("{section} is no section in the file") });
        };
        match table.get_mut(name).and_then(Item::as_value_mut) {
            Some(old) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            None => drop(table.insert(name, Item::Value(value))),
        }
        self.judge(key).inspect_err(|_| self.text = before)
    }

    fn judge(&mut self, key: Key) -> Result<(), ConfigError> {
        let judged = Config::parse(&self.text.to_string(), &self.path);
        self.config = judged.map_err(|error| match error {
            ConfigError::Malformed { why, .. } => ConfigError::Value { key: key.name, why },
            other => other,
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> (tempfile::TempDir, Document) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let document = Document::read(&path).unwrap();
        (folder, document)
    }

    fn key(name: &str) -> Key {
        Key::named(name).unwrap()
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_was() {
        let (folder, mut document) =
            document("# mine\n[api]\nauth = \"required\" # why\n\n[swarm] # here\nlow_water = 3 # few\n");

        document.set(key("swarm.low_water"), "7").unwrap();
        document.set(key("store.keep"), "false").unwrap();
        document.write().unwrap();

        let text = fs::read_to_string(folder.path().join("config.toml")).unwrap();
        let expected = "# mine\n[api]\nauth = \"required\" # why\n\n[swarm] # here\nlow_water = 7 # few\n\n[store]\nkeep = false\n";
        assert_eq!(text, expected);
        assert_eq!(document.config().swarm.low_water, 7);
    }

    #[test]
    fn sections_of_any_form_are_changed() {
        for text in ["swarm = { low_water = 3 }\n", "swarm.low_water = 3\n", "[swarm]\nlow_water = 3\n", ""] {
            let (_folder, mut document) = document(text);

            document.set(key("swarm.low_water"), "7").unwrap();
            document.set(key("swarm.high_water"), "9").unwrap();

            let swarm = &document.config().swarm;
            assert_eq!((swarm.low_water, swarm.high_water), (7, 9), "{text}");
            document.unset(key("swarm.low_water")).unwrap();
            assert_eq!(document.config().swarm.low_water, Config::default().swarm.low_water, "{text}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_and_changes_nothing() {
        let (folder, mut document) = document("[swarm]\nlow_water = 3\n");
        for (name, text, named) in [
            ("swarm.low_water", "many", "many"),
            ("swarm.low_water", "-1", "-1"),
            ("swarm.listen", "/ip4/1.2.3/tcp/1", "/ip4/1.2.3/tcp/1"),
            ("swarm.listen", "[1", "no list"),
            ("routing.mode", "perhaps", "perhaps"),
            ("store.keep", "yes", "yes"),
            ("api.listen", "\"none", "closing quote"),
        ] {
            let error = document.set(key(name), text).unwrap_err().to_string();

            assert!(error.contains(named) && error.contains(name), "{error}");
        }
        document.write().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("config.toml")).unwrap(), "[swarm]\nlow_water = 3\n");
    }

    #[test]
    fn lists_are_added_to_and_taken_from() {
        let (_folder, mut document) = document("");
        let texts = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();

        document.add(key("api.hosts"), &texts(&["a", "b"])).unwrap();
        document.add(key("api.hosts"), &texts(&["b", "c"])).unwrap();
        document.remove(key("api.hosts"), &texts(&["a"])).unwrap();

        assert_eq!(document.config().api.hosts, ["b", "c"]);
        let error = document.remove(key("api.hosts"), &texts(&["z"])).unwrap_err().to_string();
        assert!(error.contains("\"z\""), "{error}");
        let error = document.add(key("store.keep"), &texts(&["z"])).unwrap_err().to_string();
        assert!(error.contains("no list"), "{error}");
    }

    #[test]
    fn an_error_does_not_tell_a_token() {
        let (_folder, mut document) = document("[api]\ntokens = [\"the-first-one\"]\n");

        for text in ["hunter 2hunter", "[\"hunter\", 5]", "[\"hunt\u{7}er\"]", "[hunter"] {
            let error = document.set(key("api.tokens"), text).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunt") && !told.contains("the-first"), "{told}");
        }
        let error = document.remove(key("api.tokens"), &["hunter".to_owned()]).unwrap_err().to_string();
        assert!(!error.contains("hunter"), "{error}");
        for text in ["[api]\ntokens = \"hunter\"\n", "[api]\ntokens = [\"hunter\n", "[api]\ntokens = [\"hunter\"] x\n"]
        {
            let error = Config::parse(text, Path::new("config.toml")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
        }
    }
}
