package main

import "testing"

func TestAnUnknownTenantIsTheDefaultIfThereIsOne(t *testing.T) {
	tenants := map[string]Tenant{"blue": {ID: "t-1", Tier: "gold"}, "other": {ID: "t-0"}}
	with := Config{Tenants: tenants, Default: "other"}
	if tenant, ok := with.find("green"); !ok || tenant.ID != "t-0" {
		t.Errorf("got %v, %v", tenant, ok)
	}
	without := Config{Tenants: tenants}
	if tenant, ok := without.find("green"); ok {
		t.Errorf("got %v", tenant)
	}
	if tenant, ok := without.find("blue"); !ok || tenant.Tier != "gold" {
		t.Errorf("got %v, %v", tenant, ok)
	}
}

func TestADefaultThatIsNotInTheTableIsRefused(t *testing.T) {
	if err := configure(Config{Default: "green"}); err == nil {
		t.Error("it was accepted")
	}
}
