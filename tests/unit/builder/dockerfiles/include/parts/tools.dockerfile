RUN tools
INCLUDE more.dockerfile
