"""Names of the course's own kinds of notebook output, shared by those who write and those who read them."""

# {"sentence": str, "holds": bool, "evidence": str}, see course_lib.measure.claim
CLAIM = "application/vnd.course.claim+json"
