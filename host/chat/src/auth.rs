//! Checks who sends a request: one-time codes, operators' tokens, the cookie with its second secret, and programs' tokens.
//!
//! Cookies are not separated by port: any server on this machine that the user's browser visits gets ours. So a cookie alone is
//! not a login. The page keeps a second secret in `localStorage`, which is separated by port, and sends it along.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use tokio::time::Instant;

use super::bucket::Attempts;
use super::id;
use super::settings::Settings;
use super::store::token::{self, NewToken, TokenRow};
use super::store::{self, Store};
use super::wire::rest;
use super::wire::user::{Scope, User};
use super::wire::{Code, ErrorBody};
use sluicegate_telemetry::clock;

/// The field that carries the second secret.
pub(crate) const BIND: &str = "x-sluice-bind";
/// How programs' tokens begin. They are random, so guessing needs no bound.
const PROGRAM: &str = "slk_";

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Login {
    /// The id of the login or token; connections end with it.
    pub token: String,
    /// The user.
    pub user: User,
    /// What the login was made with; logins made from this one inherit it.
    pub source: String,
}

impl Login {
    /// Whether all of `/debug` may be seen.
    pub(crate) fn debug(&self) -> bool {
        self.user.scopes.contains(&Scope::Debug)
    }
}

/// A new login: the cookie's value and the response.
pub(crate) struct NewLogin {
    pub cookie: String,
    pub body: rest::LoggedIn,
}

/// Checks logins.
pub(crate) struct Auth {
    store: Store,
    access: Vec<AccessToken>,
    attempts: Mutex<Attempts>,
    port: u16,
}

/// An operator's token.
struct AccessToken {
    digest: [u8; 32],
    user: String,
    name: String,
    debug: bool,
    source: String,
}

impl AccessToken {
    fn user(&self) -> User {
        User {
            id: self.user.clone(),
            name: self.name.clone(),
            scopes: scopes(self.debug),
        }
    }
}

impl Auth {
    /// Adds the users of the settings, and ends logins made with tokens that are no longer configured.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn new(
        settings: &Settings,
        store: &Store,
        port: u16,
    ) -> Result<Self, store::Error> {
        let named: Vec<(String, bool, [u8; 32])> = settings
            .users
            .iter()
            .map(|user| {
                (
                    user.name.clone(),
                    user.debug,
                    id::digest(user.token.expose()),
                )
            })
            .collect();
        let access = store
            .write(move |c| {
                let now = clock::unix_ms();
                let mut access = Vec::new();
                for (name, debug, digest) in named {
                    let user = token::ensure_user(c, &name, now)?;
                    // Part of a digest of a digest: it does not help to guess the token.
                    let source =
                        format!("access:{}", &id::hex(&id::digest(&id::hex(&digest)))[..16]);
                    access.push(AccessToken {
                        digest,
                        user,
                        name,
                        debug,
                        source,
                    });
                }
                let sources: Vec<String> =
                    access.iter().map(|token| token.source.clone()).collect();
                token::revoke_stale(c, &sources, now)?;
                Ok(access)
            })
            .await?;
        let attempts = Mutex::new(Attempts::new(settings.limits.login_failures));
        Ok(Self {
            store: store.clone(),
            access,
            attempts,
            port,
        })
    }

    /// A one-time code for a user.
    pub(crate) async fn new_code(&self, user: &str, debug: bool) -> Result<String, store::Error> {
        let code = id::secret("");
        let (hash, user) = (id::digest(&code), user.to_owned());
        self.store
            .write(move |c| token::insert_code(c, hash, &user, debug, clock::unix_ms()))
            .await?;
        Ok(code)
    }

    /// Logs in with a code or a token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, or `RATE_LIMITED` after too many failures with that code or token, or from that address.
    pub(crate) async fn log_in(
        &self,
        body: &rest::Login,
        address: IpAddr,
    ) -> Result<NewLogin, ErrorBody> {
        let tried = body.code.as_ref().or(body.token.as_ref());
        let tried = id::digest(tried.map_or("", String::as_str));
        self.check_rate(address, &tried)?;
        let Some((user, source)) = self.prove(body).await? else {
            self.failed(address, &tried);
            return Err(ErrorBody::new(
                Code::Unauthenticated,
                "the code or token is wrong, used or too old",
            ));
        };
        let (cookie, bind) = (id::secret("s_"), id::secret("b_"));
        let token_id = id::new("tok");
        let debug = user.scopes.contains(&Scope::Debug);
        let (hashes, owner) = ((id::digest(&cookie), id::digest(&bind)), user.id.clone());
        let added = self.store.write(move |c| {
            let login = NewToken {
                id: &token_id,
                user: &owner,
                hash: hashes.0,
                bind: Some(hashes.1),
                label: "",
                source: &source,
                debug,
            };
            token::insert(c, &login, clock::unix_ms())
        });
        added.await?;
        let body = rest::LoggedIn {
            user,
            bind,
            expires_at: clock::unix_ms() + token::LOGIN_MS,
        };
        Ok(NewLogin { cookie, body })
    }

    /// Whose code or token that is, and what the login is made with. A code is used up by this.
    async fn prove(&self, body: &rest::Login) -> Result<Option<(User, String)>, ErrorBody> {
        match (&body.code, &body.token) {
            (Some(code), None) => {
                let hash = id::digest(code);
                let found = self
                    .store
                    .write(move |c| token::take_code(c, hash, clock::unix_ms()))
                    .await?;
                Ok(found.map(|(id, name, debug)| {
                    let scopes = scopes(debug);
                    (User { id, name, scopes }, "code".to_owned())
                }))
            }
            (None, Some(secret)) => Ok(self
                .access_token(secret)
                .map(|token| (token.user(), token.source.clone()))),
            (Some(_), Some(_)) | (None, None) => Ok(None),
        }
    }

    /// Who sends a request: by a bearer token, or by the cookie with its second secret.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, or `RATE_LIMITED` after too many wrong tokens.
    pub(crate) async fn check(
        &self,
        headers: &HeaderMap,
        bind: Option<&str>,
        address: IpAddr,
    ) -> Result<Login, ErrorBody> {
        match bearer(headers) {
            Some(secret) => self.check_token(secret, address).await,
            None => {
                let given = headers
                    .get(HeaderName::from_static(BIND))
                    .and_then(|value| value.to_str().ok());
                self.check_cookie(headers, bind.or(given)).await
            }
        }
    }

    /// The login of a token.
    pub(crate) async fn check_token(
        &self,
        secret: &str,
        address: IpAddr,
    ) -> Result<Login, ErrorBody> {
        if secret.starts_with(PROGRAM) {
            let row = self.find("program", secret).await?;
            return row.map(login).ok_or_else(denied);
        }
        let tried = id::digest(secret);
        self.check_rate(address, &tried)?;
        match self.access_token(secret) {
            Some(token) => Ok(Login {
                token: token.source.clone(),
                user: token.user(),
                source: token.source.clone(),
            }),
            None => {
                self.failed(address, &tried);
                Err(denied())
            }
        }
    }

    async fn check_cookie(
        &self,
        headers: &HeaderMap,
        bind: Option<&str>,
    ) -> Result<Login, ErrorBody> {
        let (Some(bind), Some(secret)) = (bind, self.cookie(headers)) else {
            return Err(denied());
        };
        let row = self.find("browser", secret).await?.ok_or_else(denied)?;
        let fits = row
            .bind
            .as_deref()
            .is_some_and(|digest| id::same(digest, &id::digest(bind)));
        if fits { Ok(login(row)) } else { Err(denied()) }
    }

    async fn find(&self, kind: &'static str, secret: &str) -> Result<Option<TokenRow>, ErrorBody> {
        let hash = id::digest(secret);
        let row = self
            .store
            .read(move |c| token::find(c, kind, hash, clock::unix_ms()))
            .await?;
        if let Some(row) = row.as_ref().filter(|row| row.stale) {
            let id = row.id.clone();
            self.store
                .write(move |c| token::used(c, &id, clock::unix_ms()))
                .await?;
        }
        Ok(row)
    }

    /// Creates a token for a program.
    pub(crate) async fn new_program(
        &self,
        login: &Login,
        label: &str,
    ) -> Result<rest::TokenMade, ErrorBody> {
        let made = rest::TokenMade {
            id: id::new("tok"),
            secret: id::secret(PROGRAM),
        };
        let (hash, name, label) = (id::digest(&made.secret), made.id.clone(), label.to_owned());
        let (user, source, debug) = (login.user.id.clone(), login.source.clone(), login.debug());
        let added = self.store.write(move |c| {
            let new = NewToken {
                id: &name,
                user: &user,
                hash,
                bind: None,
                label: &label,
                source: &source,
                debug,
            };
            token::insert(c, &new, clock::unix_ms())
        });
        added.await?;
        Ok(made)
    }

    /// The `Set-Cookie` of a login or, with an empty value, of a logout.
    pub(crate) fn set_cookie(&self, value: &str, secure: bool) -> String {
        let age = if value.is_empty() {
            0
        } else {
            token::LOGIN_MS / 1000
        };
        let (prefix, flag) = if secure {
            ("__Host-", "; Secure")
        } else {
            ("", "")
        };
        format!(
            "{prefix}sluice_{}={value}; Max-Age={age}; HttpOnly; SameSite=Strict; Path=/{flag}",
            self.port
        )
    }

    /// Our cookie. A secure one comes first: another server on this host could have set a plain one.
    fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let names = [
            format!("__Host-sluice_{}", self.port),
            format!("sluice_{}", self.port),
        ];
        let lines = || {
            headers
                .get_all(header::COOKIE)
                .iter()
                .filter_map(|line| line.to_str().ok())
        };
        names.iter().find_map(|name| {
            let mut pairs = lines()
                .flat_map(|line| line.split(';'))
                .filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        })
    }

    /// The operator's token that matches. All are compared, so that the time does not tell which.
    fn access_token(&self, secret: &str) -> Option<&AccessToken> {
        let digest = id::digest(secret);
        let mut found = None;
        for token in &self.access {
            if id::same(&token.digest, &digest) {
                found = Some(token);
            }
        }
        found
    }

    fn check_rate(&self, address: IpAddr, tried: &[u8; 32]) -> Result<(), ErrorBody> {
        let checked = self.attempts().check(address, tried, Instant::now());
        checked.map_err(|wait| {
            let message = "too many failed logins with this token, or from this address";
            ErrorBody::new(Code::RateLimited, message).after(wait)
        })
    }

    fn failed(&self, address: IpAddr, tried: &[u8; 32]) {
        tracing::warn!(%address, "chat: a login failed");
        self.attempts().failed(address, tried, Instant::now());
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn login(row: TokenRow) -> Login {
    Login {
        token: row.id,
        user: User {
            id: row.user,
            name: row.name,
            scopes: scopes(row.debug),
        },
        source: row.source,
    }
}

fn scopes(debug: bool) -> Vec<Scope> {
    if debug {
        Settings::local_scopes()
    } else {
        vec![Scope::Chat]
    }
}

fn denied() -> ErrorBody {
    ErrorBody::new(Code::Unauthenticated, "login needed")
}
