package store

import "context"

// Trial is what an exclusion would have changed of what is stored.
type Trial struct {
	Asked, AskedMatches int // alerts that it is made from, and those of them that fall under it
	Alerts, Matches     int // all, and those that fall under it
	Incidents           int
	Touched, Whole      int // incidents with an alert that falls under it, and those of which all do
	Windows             int64
	Suppressed          int // alerts that others have suppressed already
}

// Try tries an exclusion that is made from an alert or incident against all alerts that are stored; of its end it makes no account.
func (x *Exclusion) Try(ctx context.Context, s Reader, from ID) (t Trial, err error) {
	endless := *x
	endless.Until = 0
	incident, in, hit := int64(0), 0, 0
	finish := func() {
		if in > 0 {
			t.Incidents++
		}
		if hit > 0 {
			t.Touched++
		}
		if hit > 0 && hit == in {
			t.Whole++
		}
		in, hit = 0, 0
	}
	for a, err := range s.Alerts(ctx, AlertQuery{}) {
		if err != nil {
			return t, err
		}
		if a.ID.Incident != incident {
			finish()
			incident = a.ID.Incident
		}
		matches := endless.Matches(&a.Alert)
		t.Alerts++
		in++
		if matches {
			t.Matches++
			hit++
		}
		if a.ID.Incident == from.Incident && (from.Alert == 0 || from.Alert == a.ID.Alert) {
			t.Asked++
			if matches {
				t.AskedMatches++
			}
		}
	}
	finish()
	for _, err := range s.Suppressed(ctx, SuppressedQuery{}) {
		if err != nil {
			return t, err
		}
		t.Suppressed++
	}
	info, err := s.Info(ctx)
	t.Windows = info.Windows
	return t, err
}
