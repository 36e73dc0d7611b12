// tenant-header tells the model server which tenant a request belongs to, by a table of the configuration.
//
// The tenant is named by a request field, or by the note `tenant` of a gate before this one, such as auth. The model server gets
// the tenant's id in a field, which a client cannot set itself; the notes `tenant` and `tier` carry it to later stages and the log.
package main

import (
	_ "embed"
	"fmt"

	"sluicegate"
)

//go:embed config.schema.json
var schema []byte

// Config is what the operator writes; config.schema.json describes it.
type Config struct {
	FromHeader string            `json:"from-header"`
	ToHeader   string            `json:"to-header"`
	Tenants    map[string]Tenant `json:"tenants"`
	Default    string            `json:"default"`
}

// Tenant is what is told of a tenant.
type Tenant struct {
	ID   string `json:"id"`
	Tier string `json:"tier"`
}

// Each exchange gets a copy of the memory as configure left it.
var config Config

func init() {
	sluicegate.Plugin(sluicegate.Manifest{
		Name:    "tenant-header",
		Version: "0.1.0",
		Summary: "Tells the model server which tenant a request belongs to",
		Config:  schema,
	})
	sluicegate.Configure(configure)
	sluicegate.Gate(check)
}

// main is never called.
func main() {}

// configure runs once. An error is shown to the operator, and the plugin is not loaded.
func configure(from Config) error {
	if from.ToHeader == "" {
		from.ToHeader = "x-tenant"
	}
	if _, ok := from.Tenants[from.Default]; from.Default != "" && !ok {
		return fmt.Errorf("`default` is %q, which is not in `tenants`", from.Default)
	}
	config = from
	return nil
}

func check() error {
	tenant, ok := config.find(name())
	if !ok {
		return sluicegate.Refuse(403, "unknown_tenant", "the tenant of this request is not known")
	}
	// Replaces what the client may have sent under this name.
	if err := sluicegate.Set(config.ToHeader, tenant.ID); err != nil {
		return err
	}
	if err := sluicegate.SetNote("tenant", tenant.ID); err != nil {
		return err
	}
	if tenant.Tier == "" {
		return nil
	}
	return sluicegate.SetNote("tier", tenant.Tier)
}

// name is what the request calls its tenant, or "".
func name() string {
	var name string
	if config.FromHeader != "" {
		name, _ = sluicegate.Get(config.FromHeader)
	} else {
		sluicegate.Note("tenant", &name)
	}
	return name
}

// find looks a tenant up, and takes the default if it is not known.
func (c Config) find(name string) (Tenant, bool) {
	if tenant, ok := c.Tenants[name]; ok {
		return tenant, true
	}
	tenant, ok := c.Tenants[c.Default]
	return tenant, ok
}
