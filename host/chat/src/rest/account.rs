//! Logging in and out, links for other browsers, and tokens for programs.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::{BODY, Call, parse};
use crate::core::Core;
use crate::response::{self, Body};
use crate::store::token;
use crate::wire::rest::{LoginCode, Me, NewToken, Tokens};
use crate::wire::{ErrorBody, bad_param, not_found};
use sluicegate_telemetry::clock;

pub(super) async fn log_in(
    core: &Arc<Core>,
    body: Incoming,
    peer: IpAddr,
    secure: bool,
) -> Result<Response<Body>, ErrorBody> {
    let body = parse(&response::read(body, BODY).await?)?;
    let fresh = core.auth.log_in(&body, peer).await.inspect_err(|_| {
        core.telemetry.figures.login_failures.inc();
    })?;
    let mut response = response::json(StatusCode::OK, &fresh.body);
    set_cookie(&mut response, &core.auth.set_cookie(&fresh.cookie, secure));
    Ok(response)
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

impl Call<'_> {
    /// The requests about the user's own account.
    pub(super) async fn account(
        &self,
        path: &[&str],
        body: Incoming,
        secure: bool,
    ) -> Result<Response<Body>, ErrorBody> {
        match (self.method.as_str(), path) {
            ("GET", ["me"]) => {
                let me = Me {
                    user: self.login.user.clone(),
                    build: self.core.pages.build(),
                };
                Ok(response::json(StatusCode::OK, &me))
            }
            ("POST", ["logout"]) => {
                self.revoke(&self.login.token).await?;
                let mut response = response::empty(StatusCode::NO_CONTENT);
                set_cookie(&mut response, &self.core.auth.set_cookie("", secure));
                Ok(response)
            }
            ("POST", ["login-codes"]) => self.login_code().await,
            ("GET", ["tokens"]) => self.tokens().await,
            ("POST", ["tokens"]) => {
                let new: NewToken = parse(&response::read(body, BODY).await?)?;
                if !(1..=64).contains(&new.label.chars().count()) {
                    return Err(bad_param("label", "1 to 64 characters"));
                }
                let made = self.core.auth.new_program(self.login, &new.label).await?;
                Ok(response::json(StatusCode::CREATED, &made))
            }
            ("DELETE", ["tokens", id]) => match self.revoke(id).await? {
                true => Ok(response::empty(StatusCode::NO_CONTENT)),
                false => Err(not_found("token")),
            },
            _ => Err(not_found("path")),
        }
    }

    async fn revoke(&self, token: &str) -> Result<bool, ErrorBody> {
        let (user, token_id) = (self.login.user.id.clone(), token.to_owned());
        let revoked = self
            .core
            .store
            .write(move |c| token::revoke(c, &user, &token_id, clock::unix_ms()))
            .await?;
        if revoked {
            self.core.connections.close_login(token);
        }
        Ok(revoked)
    }

    async fn login_code(&self) -> Result<Response<Body>, ErrorBody> {
        let code = self
            .core
            .auth
            .new_code(&self.login.user.id, self.login.debug())
            .await?;
        // The link has the host that the user uses now: it is known to work for this user.
        let (host, secure) = self
            .core
            .allow_list
            .host(&self.headers)
            .unwrap_or(("127.0.0.1", false));
        let scheme = if secure { "https" } else { "http" };
        let link = format!("{scheme}://{host}/#login={code}");
        Ok(response::json(
            StatusCode::CREATED,
            &LoginCode {
                link,
                expires_at: clock::unix_ms() + token::CODE_MS,
            },
        ))
    }

    async fn tokens(&self) -> Result<Response<Body>, ErrorBody> {
        let (user, current) = (self.login.user.id.clone(), self.login.token.clone());
        let tokens = self
            .core
            .store
            .read(move |c| token::list(c, &user, &current, clock::unix_ms()))
            .await?;
        Ok(response::json(StatusCode::OK, &Tokens { tokens }))
    }
}
