//go:build !linux

package main

// permissionRemedy has nothing to say where nothing can be captured.
func permissionRemedy() string { return "" }

// dropPrivileges has nothing to give up where nothing can be captured.
func dropPrivileges(string) (became string, err error) { return "", nil }
