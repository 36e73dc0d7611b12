package sluicegate

// The functions that the gateway calls.
import _ "sluicegate/internal/wit/wit_exports"
