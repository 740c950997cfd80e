//! Opening a store: the one place where stores meet backends.

use crate::backends;
use crate::contract::settings::Settings;
use crate::error::{Error, Result};
use crate::options::OptionReader;
use crate::store::{Shown, Store};
use crate::url::{self, Backend};

impl Store {
    /// Opens a store from options as JSON, `url` among them. Does no I/O. With `backend`, the
    /// URL's scheme must be one of that backend's.
    pub fn open(backend: Option<&str>, options: &str) -> Result<Self> {
        let mut options = OptionReader::parse(options)?;
        let url = options.string("url")?.ok_or_else(|| {
            Error::invalid("option 'url' is missing: a connection string (or 'client': a client of the application)")
        })?;
        let chosen = Backend::of_url(&url)?;
        if let Some(wanted) = backend.and_then(Backend::named).filter(|wanted| *wanted != chosen) {
            let schemes: Vec<String> = wanted.schemes().iter().map(|scheme| format!("{scheme}:")).collect();
            return Err(Error::invalid(format!(
                "this store takes {}; the URL is one of {}",
                schemes.join(", "),
                chosen.name()
            )));
        }
        url::check(chosen, &url)?;
        let mut secrets = url::secrets(&url);
        secrets.extend(options.secrets());
        let settings = Settings::read(&mut options)?;
        let opened = backends::open(chosen, &url, &settings, options)?;
        let shown = Shown { url: url::sanitized(&url), secrets };
        Ok(Self::on_own_connections(chosen, opened, settings, shown))
    }

    /// Opens a store without connections: it works on clients of the application. `options` as
    /// JSON, without `url`.
    pub fn open_on_clients(backend: &str, options: &str) -> Result<Self> {
        let mut options = OptionReader::parse(options)?;
        let backend = Backend::named(backend).ok_or_else(|| Error::invalid("there is no such backend"))?;
        let settings = Settings::read(&mut options)?;
        Ok(Self::on_clients(backend, backends::guest(backend, options)?, settings))
    }
}
