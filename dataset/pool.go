package dataset

import "slices"

// Pool moves the classes with fewer than minFlows flows (or images) or, among flows, fewer than
// minCaptures captures to the class Etc., which joins the examples that the input labels Etc.
// Examples keep their Label. The classes pooled are in Pooled afterwards. A rule of 0 or 1 pools
// nothing.
func (s *Set) Pool(minFlows, minCaptures int) {
	s.classify()
	type count struct {
		examples int
		captures map[int]bool
		images   bool
	}
	counts := make([]count, len(s.Classes))
	add := func(class, capture int, image bool) {
		c := &counts[class]
		if c.captures == nil {
			c.captures = make(map[int]bool)
		}
		c.examples++
		c.captures[capture] = true
		c.images = c.images || image
	}
	for i := range s.Flows {
		add(s.Flows[i].Class, s.Flows[i].Capture, false)
	}
	for i := range s.Images {
		add(s.Images[i].Class, s.Images[i].Capture, true)
	}
	var pooled []Pooled
	for class, c := range counts {
		rare := c.examples < minFlows || !c.images && len(c.captures) < minCaptures
		if rare && s.Classes[class] != Etc {
			pooled = append(pooled, Pooled{s.Classes[class], c.examples, len(c.captures)})
		}
	}
	labels := make([]string, len(pooled))
	for i, p := range pooled {
		labels[i] = p.Label
	}
	classes := slices.DeleteFunc(slices.Clone(s.Classes), func(label string) bool { return slices.Contains(labels, label) })
	if len(pooled) > 0 && !slices.Contains(classes, Etc) {
		classes = append(classes, Etc)
	}
	s.Adopt(classes, labels)
	s.Pooled = pooled
}

// Adopt gives the set the classes of a model, in the model's order, so that Class fits its
// outputs. Labels in pooled, which the model learned as Etc., become Etc.; labels that the model
// never saw get NoClass.
func (s *Set) Adopt(classes, pooled []string) {
	s.Classes = slices.Clone(classes)
	isPooled := make(map[string]bool, len(pooled))
	for _, label := range pooled {
		isPooled[label] = true
	}
	s.reindex(func(label string) string {
		if isPooled[label] {
			return Etc
		}
		return label
	})
}
