"""Models of what is still to come: enrolment, events, responses, visits."""
