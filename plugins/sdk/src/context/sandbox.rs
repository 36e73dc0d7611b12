//! The exchange of this instance, through the gateway's functions.

use std::marker::PhantomData;

use crate::bindings::imports::{exchange, upstream_info};
use crate::types::{Fault, Field};

/// Stands for the only exchange of the instance; holds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exchange<'a>(PhantomData<&'a ()>);

impl Exchange<'_> {
    pub(super) fn id(self) -> String {
        exchange::id()
    }

    pub(super) fn received_ms(self) -> u64 {
        exchange::received_ms()
    }

    pub(super) fn route(self) -> String {
        exchange::route()
    }

    pub(super) fn client(self) -> String {
        exchange::client()
    }

    pub(super) fn attempt(self) -> u32 {
        exchange::attempt()
    }

    pub(super) fn method(self) -> String {
        exchange::method()
    }

    pub(super) fn set_method(self, method: &str) -> Result<(), Fault> {
        exchange::set_method(method)
    }

    pub(super) fn path(self) -> String {
        exchange::path()
    }

    pub(super) fn query(self) -> String {
        exchange::query()
    }

    pub(super) fn set_path(self, path: &str) -> Result<(), Fault> {
        exchange::set_path(path)
    }

    pub(super) fn set_query(self, query: &str) -> Result<(), Fault> {
        exchange::set_query(query)
    }

    pub(super) fn set_upstream(self, name: &str) -> Result<(), Fault> {
        exchange::set_upstream(name)
    }

    pub(super) fn status(self) -> u16 {
        exchange::status()
    }

    pub(super) fn set_status(self, status: u16) -> Result<(), Fault> {
        exchange::set_status(status)
    }

    pub(super) fn fields(self) -> Vec<Field> {
        exchange::fields()
    }

    pub(super) fn get(self, name: &str) -> Option<Vec<u8>> {
        exchange::get(name)
    }

    pub(super) fn set(self, name: &str, value: &[u8]) -> Result<(), Fault> {
        exchange::set(name, value)
    }

    pub(super) fn append(self, name: &str, value: &[u8]) -> Result<(), Fault> {
        exchange::append(name, value)
    }

    pub(super) fn remove(self, name: &str) -> Result<(), Fault> {
        exchange::remove(name)
    }

    pub(super) fn set_response_field(self, name: &str, value: &[u8]) -> Result<(), Fault> {
        exchange::set_response_field(name, value)
    }

    pub(super) fn request_field(self, name: &str) -> Option<Vec<u8>> {
        exchange::request_field(name)
    }

    pub(super) fn request_json(self, pointer: &str) -> Option<String> {
        exchange::request_json(pointer)
    }

    pub(super) fn request_bytes(self) -> u64 {
        exchange::request_bytes()
    }

    pub(super) fn note(self, name: &str) -> Option<String> {
        exchange::note(name)
    }

    pub(super) fn set_note(self, name: &str, json: &str) -> Result<(), Fault> {
        exchange::set_note(name, json)
    }

    pub(super) fn end_body(self) -> Result<(), Fault> {
        exchange::end_body()
    }

    pub(super) fn upstream(self) -> String {
        upstream_info::upstream()
    }

    pub(super) fn target(self) -> String {
        upstream_info::target()
    }

    pub(super) fn upstream_info(self, pointer: &str) -> Option<String> {
        upstream_info::json(pointer)
    }
}
